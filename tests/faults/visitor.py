"""Visitors: streams that are opened, read and left without any library, so that what
is on the wire is taken literally. Nothing happens behind the test's back: a
visitor reads only while it is asked to wait for something.
"""

import fcntl
import select
import socket
import struct
import subprocess
import termios
from urllib.parse import quote

from http2 import Http2
from stream import Chunked, Stream
from waiting import DEADLINE


class Visitor(Stream):
    """A stream over HTTP/1, opened and told its first number once this returns.

    `room` is one, or a list of several; `asks` is what else the query says. `token` is
    sent as Last-Event-ID; `after` follows the head in the same segment; or `request` is
    all that is sent. `ready=False` returns as soon as that is done.
    """

    def __init__(
        self, server, room=None, token=None, *, asks=None, headers=(), after=b"", version="1.1",
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
            self.send((request or head(room, token, headers, version, asks=asks)) + after)
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


def query_of(room, asks=None):
    """The query for a room, for the default one (None), or for several; and what else
    it `asks` for."""
    rooms = [] if room is None else [room] if isinstance(room, str) else room
    says = [*(("room", room) for room in rooms), *(asks or {}).items()]
    return "?" * bool(says) + "&".join(f"{key}={quote(value, safe='')}" for key, value in says)


def head(room=None, token=None, headers=(), version="1.1", path="/events", asks=None):
    """The head of a request for a stream."""
    query = query_of(room, asks)
    lines = [f"GET {path}{query} HTTP/{version}", "host: headcount", *headers]
    if token is not None:
        lines.append(f"last-event-id: {token}")
    return ("\r\n".join(lines) + "\r\n\r\n").encode("latin-1")


class H2Visitor(Stream):
    """A stream over HTTP/2, on a connection of its own. It takes no more than
    `window` bytes at a time."""

    def __init__(
        self, server, room=None, token=None, *, asks=None, headers=(), window=65_535,
        receive_buffer=None, host=None, ready=True,
    ):
        super().__init__()
        self._fed = 0
        address = (host, server.port) if host else server.address
        client = connected(address, receive_buffer)
        self.connection = Http2(address, sock=client, window=window)
        query = query_of(room, asks)
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

    def hear_the_end(self):
        """Reads until the server closes the connection: with the last GOAWAY comes a PING,
        and until it is answered the server waits."""
        self.connection.until(lambda: self.connection.closed, "the connection's end")

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
