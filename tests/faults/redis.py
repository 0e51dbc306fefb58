"""A Redis of the test's own: the real `redis-server`, and what can be done to it."""

import contextlib
import pathlib
import shutil
import signal
import socket
import subprocess
import tempfile

from waiting import DEADLINE, eventually


def free_port():
    """A port that nobody had just now. Redis can't take a socket over."""
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        return sock.getsockname()[1]


class Failed(Exception):
    """What Redis says is wrong."""


class Redis:
    """A `redis-server` that keeps nothing on the disk, and answers once this returns."""

    def __init__(self, test, *args, port=None, password=None):
        self.port = port or free_port()
        self.password = password
        directory = tempfile.TemporaryDirectory()
        test.addCleanup(directory.cleanup)
        self.directory = pathlib.Path(directory.name)
        self.command = [
            shutil.which("redis-server"), "--port", str(self.port), "--bind", "127.0.0.1",
            "--save", "", "--dir", directory.name, *map(str, args),
        ]
        self.process = None
        test.addCleanup(self.stop)
        self.start()

    @property
    def url(self):
        return f"redis://127.0.0.1:{self.port}"

    def start(self):
        with open(self.directory / "log", "ab") as log:
            self.process = subprocess.Popen(self.command, stdout=log, stderr=log)
        eventually("whether Redis answers", self._answers, True)

    def _answers(self):
        with contextlib.suppress(OSError, Failed):
            return self.do("PING") == "PONG"

    def signal(self, number):
        self.process.send_signal(number)

    def kill(self):
        """As a crash does."""
        self.process.kill()
        self.process.wait(DEADLINE)

    def stop(self):
        if self.process and self.process.poll() is None:
            self.process.send_signal(signal.SIGCONT)
            self.kill()

    def do(self, *words, user=None, password=None):
        """Has Redis do something, and gives its answer: text, a number or a list."""
        with socket.create_connection(("127.0.0.1", self.port), timeout=DEADLINE) as sock:
            file = sock.makefile("rb")
            if password or self.password:
                name = [user] if user else []
                ask(sock, file, "AUTH", *name, password or self.password)
            return ask(sock, file, *words)

    def keys(self):
        return sorted(self.do("KEYS", "*"))


def ask(sock, file, *words):
    """A command and its answer (https://redis.io/docs/latest/develop/reference/protocol-spec)."""
    words = [str(word).encode() for word in words]
    packed = b"".join(b"$%d\r\n%s\r\n" % (len(word), word) for word in words)
    sock.sendall(b"*%d\r\n%s" % (len(words), packed))
    return answer(file)


def answer(file):
    line = file.readline()
    if not line.endswith(b"\r\n"):
        raise ConnectionError("Redis has hung up")
    kind, rest = line[:1], line[1:-2].decode()
    if kind == b"-":
        raise Failed(rest)
    if kind == b":":
        return int(rest)
    if kind == b"$":
        return None if rest == "-1" else file.read(int(rest) + 2)[:-2].decode(errors="replace")
    if kind == b"*":
        return [answer(file) for _ in range(int(rest))]
    return rest
