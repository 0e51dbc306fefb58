"""What the fault tests share: a server, visitors down to the byte, and waiting.

* `FaultTest` is the base of every test. `self.server(...)` starts a server of its
  own on a free port, `self.visit(...)` opens a stream; both end with the test.
  `cls.shared_server(...)` is for a class whose tests share one.
* `Server` is what can be seen of it from outside: its answers, its log, its
  metrics, its memory.
* `Visitor` is a stream over HTTP/1 without any library: what is on the wire, taken
  literally; what the contract does not say is an error. Nothing happens behind
  the test's back: it reads only while it is asked to wait for something.
  `H2Visitor` is the same over HTTP/2, on the connection of http2.py.
* `eventually`, and the `within` of all these, is the only way of waiting: for a
  condition, with a deadline, and with a sentence for when it passes.

The server is `HEADCOUNT_BIN`, or `target/debug/headcount`. All of them together:

    target/venv/bin/python -m unittest discover -s tests/faults
"""

import atexit
import contextlib
import fcntl
import http.client
import json
import os
import pathlib
import re
import select
import signal
import socket
import struct
import subprocess
import sys
import termios
import threading
import time
import unittest
from dataclasses import dataclass
from urllib.parse import quote

from http2 import Http2

ROOT = pathlib.Path(__file__).resolve().parents[2]
BINARY = os.environ.get("HEADCOUNT_BIN") or str(ROOT / "target" / "debug" / "headcount")

#: How long, in seconds, what takes no time by design may take on a busy machine.
DEADLINE = 20.0


# Waiting and measuring.


def eventually(what, probe, expected, within=DEADLINE):
    """Waits until `probe()` gives `expected`, a value to equal or a predicate, and
    returns what it gave. `what` is the subject of the sentence said in failure."""
    fits = expected if callable(expected) else lambda seen: seen == expected
    until = time.monotonic() + within
    while True:
        seen = probe()
        if fits(seen):
            return seen
        if time.monotonic() > until:
            wanted = "as expected" if callable(expected) else repr(expected)
            raise AssertionError(f"{what} is not {wanted} within {within} s, but {seen!r}")
        time.sleep(0.005)


_measured = {}


def measured(what, seconds):
    """Notes how long something took. If MEASURE is set, the longest of each is
    said at the end: the figures in the README come from there."""
    _measured[what] = max(seconds, _measured.get(what, 0.0))


@atexit.register
def _say_what_was_measured():
    if os.environ.get("MEASURE"):
        for what, seconds in _measured.items():
            print(f"measured: {what}: {seconds * 1000:.1f} ms", file=sys.stderr)


# The server.


@dataclass
class Answer:
    """The whole answer to a request that is no stream."""

    status: int
    headers: http.client.HTTPMessage
    body: bytes

    def json(self):
        return json.loads(self.body)


class Server:
    """A process of the server under test, which listens once this returns.

    `quiet` keeps the two lines of each stream out of the log. `namespace` has a
    context `entered()` in which the server is started and asked (test_cable.py).
    """

    def __init__(self, *args, listen="127.0.0.1:0", quiet=False, env=None, namespace=None):
        self._entered = namespace.entered if namespace else contextlib.nullcontext
        # The developer's own settings are not the test's.
        settings = {k: v for k, v in os.environ.items() if not k.startswith("HEADCOUNT_")}
        settings["RUST_LOG"] = "headcount=info,headcount::room=warn" if quiet else "info"
        with self._entered():
            self.process = subprocess.Popen(
                [BINARY, "--listen", listen, "--log-format", "json", *map(str, args)],
                env=settings | (env or {}),
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.PIPE,
                text=True,
            )
        self.pid = self.process.pid
        self.lines = []
        self._reader = threading.Thread(target=self._read_log, daemon=True)
        self._reader.start()
        self.host, self.port = self._listens()

    def _read_log(self):
        for line in self.process.stderr:
            self.lines.append(line.rstrip("\n"))

    def _listens(self):
        def told():
            # Asked before the log is searched: what it said last is to be found.
            ended = self.process.poll() is not None
            lines = "\n".join(list(self.lines))
            found = re.search(r"listening on https?://(\S+?):(\d+)\b", lines)
            return found.groups() if found else ended and "nothing: it ended"

        try:
            host, port = eventually(
                "what the server says at its start", told, lambda seen: len(seen or "") == 2
            )
        except AssertionError as error:
            self.stop()
            raise AssertionError(f"{error}; it said: {self.lines}") from None
        return host.strip("[]"), int(port)

    @property
    def address(self):
        return ("127.0.0.1" if self.host == "0.0.0.0" else self.host, self.port)

    def get(self, path, method="GET", headers=(), body=None):
        """The answer to a request of its own connection."""
        with self._entered():
            connection = http.client.HTTPConnection(*self.address, timeout=DEADLINE)
            with contextlib.closing(connection):
                connection.request(method, path, body, dict(headers))
                response = connection.getresponse()
                return Answer(response.status, response.headers, response.read())

    def count(self, room="lobby"):
        answer = self.get(f"/count?room={quote(room, safe='')}")
        assert answer.status == 200, answer
        return answer.json()["count"]

    def metrics(self):
        """Each sample of /metrics by its name with its labels, as it is written."""
        answer = self.get("/metrics")
        assert answer.status == 200, f"/metrics is answered with {answer.status}"
        samples = {}
        for line in answer.body.decode().splitlines():
            if line and not line.startswith("#"):
                name, value = line.rsplit(" ", 1)
                samples[name] = float(value)
        return samples

    def logged(self, message, **fields):
        """The lines of the log with this message and these fields."""
        found = []
        for line in list(self.lines):
            with contextlib.suppress(ValueError):
                entry = json.loads(line)
                if entry.get("message") == message and fields.items() <= entry.items():
                    found.append(entry)
        return found

    def rss(self):
        """Its resident memory, in bytes."""
        status = pathlib.Path(f"/proc/{self.pid}/status").read_text()
        return int(re.search(r"VmRSS:\s+(\d+) kB", status)[1]) * 1024

    def fds(self):
        """How many file descriptors it has open."""
        return len(os.listdir(f"/proc/{self.pid}/fd"))

    def signal(self, number):
        self.process.send_signal(number)

    def wait(self, within=DEADLINE):
        """Waits for its end; the exit code."""
        return self.process.wait(within)

    def stop(self):
        """Ends it at once, if it has not ended."""
        self.process.kill()
        self.process.wait(DEADLINE)
        self._reader.join(DEADLINE)
        self.process.stderr.close()


# Visitors.


@dataclass
class Event:
    """One block of a stream: `retry`, `id` and `data`, those that it has."""

    number: int | None
    token: str | None
    retry: int | None
    at: float


_EVENT = re.compile(
    rb"(?:retry: (?P<retry>\d+)\n)?(?:id: (?P<token>[0-9a-f]{32})\n)?"
    rb"(?:event: user count\ndata: (?P<number>\d+)\n)?"
)


class Events:
    """Reads bytes as a stream of events (no others than the contract knows)."""

    def __init__(self):
        self.all = []
        self._rest = b""

    def feed(self, data):
        *blocks, self._rest = (self._rest + data).split(b"\n\n")
        for block in blocks:
            found = _EVENT.fullmatch(block + b"\n")
            assert found and block, f"no event of the contract: {block!r}"
            retry, token, number = found["retry"], found["token"], found["number"]
            self.all.append(
                Event(
                    int(number) if number else None,
                    token.decode() if token else None,
                    int(retry) if retry else None,
                    time.monotonic(),
                )
            )


class Chunked:
    """Takes the chunks of HTTP/1.1 off a body."""

    def __init__(self):
        self.ended = False
        self._rest = b""

    def feed(self, data):
        """The content of the chunks that are complete."""
        self._rest += data
        content = b""
        while not self.ended:
            size, line_end, after = self._rest.partition(b"\r\n")
            if not line_end:
                break
            length = int(size, 16)
            if len(after) < length + 2:
                break
            assert after[length : length + 2] == b"\r\n", f"no chunk: {self._rest[:100]!r}"
            content += after[:length]
            self._rest = after[length + 2 :]
            self.ended = length == 0
        return content


class Stream:
    """What the visitors of both protocols have in common. A subclass reads in
    `_read(within)`, feeds `_events`, and sets `ended` to a word on how."""

    def __init__(self):
        self._events = Events()
        self.ended = None

    @property
    def events(self):
        return self._events.all

    @property
    def history(self):
        """All the numbers that it was told, in their order."""
        return [event.number for event in self.events if event.number is not None]

    @property
    def newest(self):
        return self.history[-1] if self.history else None

    @property
    def token(self):
        """What names its seat: the id of its first event."""
        return self.events[0].token

    def pump(self, within=0.0):
        """Reads what there is, waiting so long for anything at all."""
        if self.ended is None:
            self._read(within)

    def wait(self, what, condition, within=DEADLINE):
        """Reads until `condition(self)` holds; how long that took."""
        start = time.monotonic()
        self.pump()
        while not condition(self):
            left = start + within - time.monotonic()
            if left <= 0 or (self.ended and not condition(self)):
                told = f"{len(self.history)} numbers, at last {self.history[-20:]}"
                raise AssertionError(f"not within {within} s: {what}; {told}, end: {self.ended}")
            self.pump(min(left, 0.5))
        return time.monotonic() - start

    def sees(self, number, within=DEADLINE):
        """Waits until `number` is the newest that it was told; how long that took."""
        return self.wait(f"told {number}", lambda self: self.newest == number, within)

    def is_ended(self, how="ended", within=DEADLINE):
        """Waits for the stream's end by the server: `ended` as HTTP has it, `cut`
        without, or `reset`. How long that took."""
        seconds = self.wait("the stream's end", lambda self: self.ended, within)
        assert self.ended == how, f"the stream's end is {self.ended!r}, not {how!r}"
        return seconds


class Visitor(Stream):
    """A stream over HTTP/1, opened and told its first number once this returns.

    `token` is sent as Last-Event-ID; `after` follows the head in the same
    segment; or `request` is all that is sent. `ready=False` returns as soon as that
    is done.
    """

    def __init__(
        self, server, room=None, token=None, *, headers=(), after=b"", version="1.1",
        request=None, receive_buffer=None, source=None, host=None, ready=True,
    ):
        super().__init__()
        self.status = None
        #: How many bytes it has read.
        self.read = 0
        self._head = b""
        self._body = Chunked()
        address = (host, server.port) if host else server.address
        self.socket = connected(address, receive_buffer, source)
        try:
            self.send((request or head(room, token, headers, version)) + after)
            if ready:
                self.wait("its first event", lambda self: self.events)
        except BaseException:
            self.socket.close()
            raise

    def send(self, data):
        self.socket.sendall(data)

    def _read(self, within):
        if not readable(self.socket, within):
            return
        try:
            data = self.socket.recv(65536)
        except ConnectionError:
            self.ended = "reset"
            return
        self.read += len(data)
        self._feed(data)
        if not data and self.ended is None:
            # HTTP/1.0 and what has no chunks end with the connection.
            self.ended = "cut" if self._body else "ended"

    def _feed(self, data):
        if self.status is None:
            self._head += data
            start, blank, data = self._head.partition(b"\r\n\r\n")
            if not blank:
                return
            self.status = int(start.split(b" ")[1])
            if b"transfer-encoding: chunked" not in start.lower():
                self._body = None
            assert self.status == 200, f"refused: {self._head!r}"
        self._events.feed(self._body.feed(data) if self._body else data)
        if self._body and self._body.ended:
            self.ended = "ended"

    def unread(self):
        """How many bytes there are to be read now."""
        return struct.unpack("i", fcntl.ioctl(self.socket, termios.FIONREAD, bytes(4)))[0]

    # The ways to leave.

    def close(self):
        """FIN; or RST, if there are events that it has not read."""
        self.socket.close()
        self.ended = self.ended or "left"

    def reset(self):
        """RST."""
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.close()

    def half_close(self):
        """FIN, but it still reads."""
        self.socket.shutdown(socket.SHUT_WR)

    def hand_over(self, *command):
        """Gives the connection to a process that alone has it from then on. By
        default it is one through which this visitor goes on to read (`cat`). To
        kill it is one more way to leave, and to stop it a way not to read."""
        mine, its = socket.socketpair()
        self.socket.setblocking(True)  # a time limit would be the process's too
        process = subprocess.Popen(command or ["cat"], stdin=self.socket, stdout=its)
        its.close()
        self.socket.close()
        self.socket = mine
        return process


def readable(client, within):
    """Waits until there is something to read, or the end."""
    poll = select.poll()
    poll.register(client, select.POLLIN)
    return bool(poll.poll(within * 1000))


def connected(address, receive_buffer=None, source=None):
    """A socket that is connected."""
    client = socket.socket()
    try:
        if receive_buffer:  # before it connects: what it takes is told then
            client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
        if source:
            client.bind((source, 0))
        client.settimeout(DEADLINE)
        client.connect(address)
        client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    except BaseException:
        client.close()
        raise
    return client


def head(room=None, token=None, headers=(), version="1.1", path="/events"):
    """The head of a request for a stream."""
    query = "" if room is None else f"?room={quote(room, safe='')}"
    lines = [f"GET {path}{query} HTTP/{version}", "host: headcount", *headers]
    if token is not None:
        lines.append(f"last-event-id: {token}")
    return ("\r\n".join(lines) + "\r\n\r\n").encode("latin-1")


class H2Visitor(Stream):
    """A stream over HTTP/2, on a connection of its own. It takes no more than
    `window` bytes at a time."""

    def __init__(
        self, server, room=None, token=None, *, headers=(), window=65_535,
        receive_buffer=None, host=None, ready=True,
    ):
        super().__init__()
        self._fed = 0
        address = (host, server.port) if host else server.address
        client = connected(address, receive_buffer)
        self.connection = Http2(address, sock=client, window=window)
        query = "" if room is None else f"?room={quote(room, safe='')}"
        headers = [*headers] + ([("last-event-id", token)] if token is not None else [])
        self.answer = self.connection.ask(f"/events{query}", headers)
        if ready:
            try:
                self.wait("its first event", lambda self: self.events)
            except BaseException:
                self.close()
                raise

    @property
    def status(self):
        return self.answer.status

    def _read(self, within):
        if readable(self.connection.sock, within):
            heard = iter((False, True))
            self.connection.until(lambda: next(heard), "what is there to read")
        body, self._fed = self.answer.body[self._fed :], len(self.answer.body)
        assert self.status in (None, 200), f"refused: {self.answer}"
        self._events.feed(body)
        if self.answer.ended:
            self.ended = "ended"
        elif self.answer.reset is not None:
            self.ended = "reset"
        elif self.connection.closed:
            self.ended = "cut"

    # The ways to leave.

    def give_up(self):
        """RST_STREAM; the connection stays."""
        self.connection.reset(self.answer)
        self.ended = self.ended or "left"

    def half_close(self):
        """FIN of the connection, but it still reads."""
        self.connection.sock.shutdown(socket.SHUT_WR)

    def close(self):
        """FIN of the connection."""
        self.connection.close()
        self.ended = self.ended or "left"

    def reset(self):
        """RST of the connection."""
        linger = struct.pack("ii", 1, 0)
        self.connection.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
        self.close()


# The tests.


class FaultTest(unittest.TestCase):
    """A test whose servers, visitors and processes end with it."""

    maxDiff = None

    @classmethod
    def shared_server(cls, *args, **options):
        """A server that ends with the class."""
        server = Server(*args, **options)
        cls.addClassCleanup(server.stop)
        return server

    def server(self, *args, **options):
        server = Server(*args, **options)
        self.addCleanup(server.stop)
        return server

    def setUp(self):
        self.visitors = []

    def visit(self, server, room=None, token=None, *, kind=Visitor, **options):
        visitor = kind(server, room, token, **options)
        self.addCleanup(visitor.close)
        self.visitors.append(visitor)
        return visitor

    def end_logged(self, server, **fields):
        """The line of the log of the one stream that has ended so."""
        lines = eventually(
            f"the log of the end {fields}",
            lambda: server.logged("user disconnected", **fields),
            lambda lines: lines,
        )
        self.assertEqual(len(lines), 1, lines)
        return lines[0]

    def until(self, what, condition, within=DEADLINE):
        """Waits until `condition()` holds while all visitors of the test read (and
        those over HTTP/2 answer PINGs)."""
        until = time.monotonic() + within
        while True:
            for visitor in self.visitors:
                visitor.pump()
            if condition():
                return
            if time.monotonic() > until:
                told = [(visitor.history[-10:], visitor.ended) for visitor in self.visitors]
                self.fail(f"not within {within:.1f} s: {what}; the visitors were told {told}")
            time.sleep(0.002)

    def child(self, process):
        """Sees to it that a process that the test started does not outlive it."""
        self.addCleanup(end, process)
        return process


def end(process):
    """Ends a process that this one started, if it has not ended."""
    process.send_signal(signal.SIGCONT)
    process.kill()
    process.wait(DEADLINE)
    for pipe in (process.stdin, process.stdout, process.stderr):
        if pipe:
            pipe.close()
