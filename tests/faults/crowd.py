"""A crowd that comes and goes, in a process of its own: for test_churn.py.

    crowd.py churn HOST PORT SOURCE VISITS SECONDS    comes and goes by every means,
        at most so often and so long, and says what it did as a JSON object
    crowd.py hold HOST PORT SOURCE STREAMS [TOGETHER] opens streams, so many in a room,
        says how many, and waits to be killed

Every stream has been told its first number before it ends, but for those that
leave in the same breath as they come. Written for speed: plain blocking sockets,
a batch of them at a time.
"""

import collections
import itertools
import json
import re
import signal
import socket
import struct
import sys
import time

BATCH = 100
#: How many are in a room at once: of every change all of them are told.
TOGETHER = 5
PATIENCE = 20.0

RST = struct.pack("ii", 1, 0)
REFUSED = [
    b"GET /events?room= HTTP/1.1\r\nhost: h\r\n\r\n",
    b"POST /events HTTP/1.1\r\nhost: h\r\ncontent-length: 0\r\n\r\n",
    b"HEAD /events HTTP/1.1\r\nhost: h\r\n\r\n",
    b"GET /events HTTP/1.1\r\nhost: h\r\ncontent-length: 5\r\n\r\nhello",
    b"GET /events HTTP/1.1\r\n\r\n",
]


class Crowd:
    def __init__(self, host, port, source):
        self.server, self.source = (host, int(port)), source
        self.did = collections.Counter()

    def connect(self):
        client = socket.socket()
        client.settimeout(PATIENCE)
        client.setsockopt(socket.IPPROTO_IP, 24, 1)  # IP_BIND_ADDRESS_NO_PORT
        client.bind((self.source, 0))
        client.connect(self.server)
        return client

    def ask(self, room, more="", after=b""):
        client = self.connect()
        request = f"GET /events?room={room} HTTP/1.1\r\nhost: h\r\n{more}\r\n"
        client.sendall(request.encode() + after)
        return client

    def first(self, client):
        """Reads the first event; its token."""
        told = b""
        while not (b"\ndata: " in told and told.endswith(b"\n\n\r\n")):
            read = client.recv(4096)
            assert read and told[:13] in (b"", b"HTTP/1.1 200 "), told + read
            told += read
        return re.search(rb"\nid: ([0-9a-f]{32})\n", told)[1].decode()

    def to_the_end(self, client):
        while client.recv(4096):
            pass
        client.close()

    # The ways to come and to go: each takes a room, and gives what is to be done
    # next with the client, in steps, so that a whole batch is there at once.

    def fin(self, room):
        client = self.ask(room)
        yield
        self.first(client)
        yield
        client.close()

    def rst(self, room):
        client = self.ask(room)
        yield
        self.first(client)
        yield
        client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RST)
        client.close()

    def half_close(self, room):
        client = self.ask(room)
        yield
        self.first(client)
        yield
        client.shutdown(socket.SHUT_WR)
        yield
        self.to_the_end(client)

    def surplus(self, room):
        client = self.ask(room, after=b"\r\nGET /count HTTP/1.1\r\nhost: h\r\n\r\nx")
        yield
        self.first(client)
        client.sendall(b"y")
        yield
        client.close()

    def take_over(self, room):
        old = self.ask(room)
        yield
        token = self.first(old)
        new = self.ask(room, f"last-event-id: {token}\r\n")
        assert self.first(new) == token
        yield
        self.to_the_end(old)
        new.close()

    def same_breath(self, room):
        self.ask(room).close()
        yield

    def refused(self, room):
        client = self.connect()
        client.sendall(next(self.refusals))
        yield
        answer = client.recv(4096)
        assert answer.startswith(b"HTTP/1.1 4"), answer
        client.close()

    refusals = itertools.cycle(REFUSED)

    def churn(self, visits, seconds):
        means = [self.fin, self.rst, self.half_close, self.surplus, self.fin, self.rst,
                 self.take_over, self.surplus, self.same_breath, self.refused]
        until = time.monotonic() + seconds
        done = 0
        while done < visits and time.monotonic() < until:
            # Another mixture of means in each room of each batch.
            batch = []
            for nth in range(BATCH):
                mean = means[(nth + done // BATCH) % len(means)]
                batch.append(mean(f"{self.source}-{nth // TOGETHER}"))
                self.did[mean.__name__] += 1
            done += len(batch)
            while batch:
                batch = [one for one in batch if next(one, "gone") is None]
        print(json.dumps(self.did), flush=True)

    def hold(self, streams, together=TOGETHER):
        held = [self.ask(f"{self.source}-{nth // together}") for nth in range(streams)]
        for client in held:
            self.first(client)
        print(len(held), flush=True)
        signal.pause()


if __name__ == "__main__":
    what, host, port, source, *numbers = sys.argv[1:]
    getattr(Crowd(host, port, source), what)(*map(int, numbers))
