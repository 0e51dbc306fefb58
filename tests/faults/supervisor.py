"""What systemd does for the server, and this test in its place: hears what the server says of
itself (sd_notify), and passes it a socket that listens (socket activation).
"""

import pathlib
import socket
import sys
import tempfile

from waiting import DEADLINE

#: A command that runs another in its own process, with a socket passed as systemd does:
#: from descriptor 3 on, for this process alone.
PASS = """
import os, sys
number, *passed = sys.argv[1:sys.argv.index("--")]
for place, fd in enumerate(passed, 3):
    os.dup2(int(fd), place)
os.environ.update(LISTEN_FDS=number, LISTEN_PID=str(os.getpid()))
command = sys.argv[sys.argv.index("--") + 1:]
os.execv(command[0], command)
"""


class Supervisor:
    """Hears what a server tells it; ends with the test."""

    def __init__(self, test):
        directory = tempfile.TemporaryDirectory()
        test.addCleanup(directory.cleanup)
        path = pathlib.Path(directory.name) / "notify"
        self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        test.addCleanup(self.socket.close)
        self.socket.bind(str(path))
        self.env = {"NOTIFY_SOCKET": str(path)}

    def heard(self, within=DEADLINE):
        """The next that it hears: the assignments of one message."""
        self.socket.settimeout(within)
        message = self.socket.recv(4096).decode()
        return dict(line.split("=", 1) for line in message.splitlines())

    def hears(self, name, but=("WATCHDOG",)):
        """Waits for the message that begins with this name, past those of others."""
        while True:
            message = self.heard()
            first = next(iter(message))
            if first == name:
                return message
            assert first in but, f"{message} in place of {name}"

    def forget(self):
        """Reads what it was told until now."""
        self.socket.setblocking(False)
        try:
            while self.socket.recv(4096):
                pass
        except BlockingIOError:
            pass


def passing(*sockets):
    """How a server is to be started that inherits these sockets: options of `Server`."""
    fds = [sock.fileno() for sock in sockets]
    # Out of the way of the places that they are passed in.
    assert all(fd > 10 for fd in fds), fds
    under = [sys.executable, "-c", PASS, str(len(fds)), *map(str, fds), "--"]
    return {"under": under, "fds": fds}
