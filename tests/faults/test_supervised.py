"""Under a supervisor such as systemd: what it is told, and sockets that it passes, so that a
restart refuses nobody.
"""

import contextlib
import ctypes
import fcntl
import os
import pathlib
import signal
import socket
import subprocess
import tempfile
import threading

import raw
from certificate import certificate
from server import BINARY
from supervisor import Supervisor, passing
from support import FaultTest
from visitor import readable
from waiting import DEADLINE, eventually

PTRACE_SEIZE, PTRACE_INTERRUPT, PTRACE_DETACH = 0x4206, 0x4207, 17
WALL = 0x40000000


class Told(FaultTest):
    def setUp(self):
        super().setUp()
        self.supervisor = Supervisor(self)

    def start(self, *args, watchdog=None):
        env = dict(self.supervisor.env)
        if watchdog:
            env["WATCHDOG_USEC"] = str(int(watchdog * 1e6))
        return self.server(*args, env=env)

    def test_a_supervisor_is_told_when_it_serves_and_when_it_stops(self):
        server = self.start("--shutdown-grace", "2s")
        self.assertEqual(self.supervisor.heard(), {"READY": "1"})
        self.assertEqual(server.count(), 0)
        self.assertEqual(server.logged("the environment variable"), [])
        self.visit(server)
        server.signal(signal.SIGTERM)
        self.assertEqual(self.supervisor.heard(), {"STOPPING": "1"})
        self.assertEqual(server.wait(), 0)

    def test_a_reload_ends_no_stream_with_tls_and_without(self):
        directory = tempfile.TemporaryDirectory()
        self.addCleanup(directory.cleanup)
        cert, key = certificate(pathlib.Path(directory.name), "count")
        without = "there is no certificate to read again; other settings need a restart"
        for args, said in (
            ((), without),
            (("--tls-cert", cert, "--tls-key", key), "the certificate was read again"),
        ):
            with self.subTest(args):
                server = self.start(*args)
                self.supervisor.hears("READY")
                visitor = None if args else self.visit(server)
                for times in (1, 2):
                    server.signal(signal.SIGHUP)
                    reloading = self.supervisor.heard()
                    self.assertEqual(reloading["RELOADING"], "1")
                    self.assertGreater(int(reloading["MONOTONIC_USEC"]), 0)
                    self.assertEqual(self.supervisor.heard(), {"READY": "1"})
                    eventually("the log", lambda: len(server.logged(said)), times)
                if visitor:
                    self.visit(server)
                    visitor.sees(2)
                server.signal(signal.SIGTERM)
                self.supervisor.hears("STOPPING")
                self.assertEqual(server.wait(), 0)

    def test_its_watchdog_hears_it_until_one_of_its_threads_is_stuck(self):
        server = self.start("--threads", "3", watchdog=0.2)
        self.supervisor.hears("READY")
        for _ in range(3):
            self.assertEqual(self.supervisor.heard(), {"WATCHDOG": "1"})
        for thread in ("worker-1", "worker-2", "the first"):
            with self.subTest(thread), stuck(server, thread):
                self.supervisor.forget()
                # One may be on its way, and one may just not have needed that thread.
                with self.assertRaises(TimeoutError):
                    for _ in range(3):
                        self.supervisor.heard(within=0.6)
            self.assertEqual(self.supervisor.heard(), {"WATCHDOG": "1"})


@contextlib.contextmanager
def stuck(server, name):
    """Stops one thread of a process, as if it never came back from something."""
    tasks = pathlib.Path(f"/proc/{server.pid}/task").glob("*")
    named = {(task / "comm").read_text().strip(): int(task.name) for task in tasks}
    tid = named.get(name, server.pid)
    libc = ctypes.CDLL(None, use_errno=True)

    def ptrace(request):
        if libc.ptrace(request, tid, None, None) == -1:
            raise OSError(ctypes.get_errno(), f"ptrace({request:#x}) of {name}")

    ptrace(PTRACE_SEIZE)
    ptrace(PTRACE_INTERRUPT)
    os.waitpid(tid, WALL)
    try:
        yield
    finally:
        ptrace(PTRACE_DETACH)


class Activated(FaultTest):
    def setUp(self):
        super().setUp()
        directory = tempfile.TemporaryDirectory()
        self.addCleanup(directory.cleanup)
        self.seats = pathlib.Path(directory.name) / "seats"

    def listening(self, kind=socket.SOCK_STREAM, listens=True):
        sock = socket.socket(socket.AF_INET, kind)
        sock.bind(("127.0.0.1", 0))
        if listens:
            sock.listen(1)
        # Above those that a process is passed.
        fd = fcntl.fcntl(sock, fcntl.F_DUPFD_CLOEXEC, 100)
        sock.close()
        sock = socket.socket(fileno=fd)
        self.addCleanup(sock.close)
        return sock

    def start(self, listener, *args):
        """A process that is passed the socket; `--listen` may say the same."""
        where = "{}:{}".format(*listener.getsockname())
        return self.server("--seats", self.seats, *args, listen=where, **passing(listener))

    def test_a_restart_refuses_nobody_and_who_comes_in_between_is_served_by_the_next(self):
        listener = self.listening()
        old = self.start(listener)
        # So many that they aren't ended all at once.
        people = [self.visit(old, "a") for _ in range(300)]
        asking = Asking(old.address)
        self.addCleanup(asking.stop)
        asking.answered(20)
        old.signal(signal.SIGTERM)
        self.until("the first end", lambda: any(visitor.ended for visitor in people))
        # They come while it stops, and once nobody is there.
        between = [self.visit(old, "a", people[0].token, ready=False)]
        self.assertEqual(old.wait(), 0)
        between.append(self.visit(old, "a", people[1].token, ready=False))
        self.assertFalse(any(readable(visitor.socket, 0) for visitor in between))
        new = self.start(listener)
        for visitor in between:
            visitor.wait("its first event", lambda visitor: visitor.events)
        self.assertEqual([visitor.newest for visitor in between], [300, 300])
        self.assertEqual(self.visit(new, "a", people[2].token).newest, 300)
        asking.answered(20)
        self.assertEqual(asking.stop(), [])

    def test_a_crash_refuses_nobody_either(self):
        listener = self.listening()
        old = self.start(listener)
        people = [self.visit(old, "a") for _ in range(2)]
        old.signal(signal.SIGKILL)
        old.wait()
        between = self.visit(old, "a", people[0].token, ready=False)
        self.start(listener)
        between.wait("its first event", lambda visitor: visitor.events)
        self.assertEqual(between.newest, 2)

    def test_sockets_that_it_can_not_serve_are_refused_with_what_to_do(self):
        listener = self.listening()
        port = listener.getsockname()[1]
        connected, datagrams = self.listening(listens=False), self.listening(socket.SOCK_DGRAM, False)
        for sockets, listen, expected in (
            ([listener, self.listening()], None, "2 sockets were passed to this process, which"),
            ([connected], None, "is not a TCP socket that listens"),
            ([datagrams], None, "is not a TCP socket that listens"),
            ([listener], "127.0.0.1:1", f"which listens on 127.0.0.1:{port}; leave out --listen"),
            ([listener], f"0.0.0.0:{port}", f"which listens on 127.0.0.1:{port}; leave out"),
        ):
            with self.subTest(expected=expected):
                started = passing(*sockets)
                listen = ["--listen", listen] if listen else []
                failed = subprocess.run(
                    [*started["under"], BINARY, *listen], pass_fds=started["fds"],
                    capture_output=True, text=True, timeout=DEADLINE,
                )
                self.assertEqual(failed.returncode, 2, failed.stderr)
                self.assertIn(expected, failed.stderr)
                self.assertNotIn("listening on", failed.stderr)


class Asking:
    """Asks again and again, each time over a new connection, and notes who got no good
    answer."""

    def __init__(self, address):
        self._address, self._stop = address, threading.Event()
        self.good, self.bad = 0, []
        self._thread = threading.Thread(target=self._ask, daemon=True)
        self._thread.start()

    def _ask(self):
        while not self._stop.is_set():
            try:
                with socket.create_connection(self._address, DEADLINE) as sock:
                    answer = raw.ask_on(sock, raw.request("/count?room=b"))
                assert answer.status == 200, answer
                self.good += 1
            except (AssertionError, OSError) as error:
                self.bad.append(error)

    def answered(self, more):
        """Waits for so many good answers more."""
        before = self.good
        eventually("good answers", lambda: self.good, lambda good: good >= before + more)

    def stop(self):
        """Those who got none."""
        self._stop.set()
        self._thread.join(DEADLINE)
        return self.bad
