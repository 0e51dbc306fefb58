"""One request over HTTP/1, given byte by byte, and the answer to it.

For what an HTTP library would not send, and for answers that are no stream.
"""

import json
import socket
import time
from dataclasses import dataclass

PATIENCE = 5.0  # seconds


@dataclass
class Answer:
    """A whole answer; of a stream, what came with its head."""

    status: int
    headers: dict
    body: bytes
    seconds: float  # from the last byte sent to the first byte of the answer

    @property
    def error(self):
        """What its body says of an error."""
        return error(self.body)


def error(body):
    """What `{"error":"…"}` says; None if a body is not that and nothing else."""
    try:
        match json.loads(body):
            case {"error": str(sentence), **others} if not others:
                return sentence
    except ValueError:
        pass
    return None


def connect(address, source=None):
    """A connection, from a certain address of this machine if that matters."""
    sock = socket.create_connection(address, PATIENCE, (source, 0) if source else None)
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return sock


def request(path="/events", *headers, method="GET", version="1.1", body=b"", host="headcount"):
    """A request's bytes; `host` may be None."""
    lines = [f"{method} {path} HTTP/{version}"]
    lines += [f"host: {host}"] if host is not None else []
    return "\r\n".join([*lines, *headers, "", ""]).encode("latin-1") + body


def ask(address, data, source=None):
    """Sends the bytes of a request, on a connection of its own."""
    with connect(address, source) as sock:
        return ask_on(sock, data)


def ask_on(sock, data):
    """Sends the bytes of a request."""
    sock.sendall(data)
    return answer_on(sock, has_body=not data.startswith(b"HEAD "))


def answer_on(sock, has_body=True):
    """The next answer on a connection."""
    start = time.monotonic()
    head, seconds = b"", 0.0
    while b"\r\n\r\n" not in head:
        data = sock.recv(65_536)
        seconds = seconds or time.monotonic() - start
        if not data:
            raise AssertionError(f"closed without an answer, after {head!r}")
        head += data
    head, body = head.split(b"\r\n\r\n", 1)
    first, *lines = head.decode("latin-1").split("\r\n")
    headers = {}
    for line in lines:
        name, value = line.split(":", 1)
        headers[name.lower()] = value.strip()
    length = int(headers.get("content-length", 0)) if has_body else 0
    while len(body) < length:
        data = sock.recv(65_536)
        if not data:
            raise AssertionError(f"closed within the answer, after {head!r} {body!r}")
        body += data
    return Answer(int(first.split(" ")[1]), headers, body, seconds)


def is_closed(sock, within=PATIENCE):
    """Whether the server ends the connection, saying nothing more."""
    sock.settimeout(within)
    try:
        return sock.recv(65_536) == b""
    except ConnectionError:
        return True
    except TimeoutError:
        return False


def follow(peers, drips, until):
    """Drips to sockets, and says after how long each was closed by the server.

    `peers` are sockets by name, that don't block; of the bytes that `drips` has
    for some, one is sent every half second.
    """
    start = time.monotonic()
    closed, answers = {}, {name: b"" for name in peers}
    drips = {name: iter(drips[name]) for name in drips}
    while len(closed) < len(peers) and time.monotonic() < start + until:
        for name, sock in peers.items():
            if name in closed:
                continue
            try:
                byte = next(drips.get(name, iter(())), None)
                if byte is not None:
                    sock.send(bytes([byte]))
                while data := sock.recv(65_536):
                    answers[name] += data
                closed[name] = time.monotonic() - start
            except BlockingIOError:
                pass
            except ConnectionError:
                closed[name] = time.monotonic() - start
        time.sleep(0.5)  # the drip
    return closed, answers
