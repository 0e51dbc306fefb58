"""A crowd that stays and listens to one room, in a process of its own: for
test_heartbeat.py.

    listeners.py HOST PORT NET STREAMS ROOM

opens so many streams over HTTP/1, from several addresses 127.0.NET.*, and says so in a
line. After the line `forget` on its standard input it says as a JSON object, for each
other line, what it has heard since:

    streams   that are open
    heard     how many of them were told anything
    silence   for how long at most a stream has been told nothing, in seconds
    together  how often anybody was told anything within one tenth of a second, at most
    newest    the numbers that the streams were told last, and how many each

Written for speed: of what comes only the last number is looked at.
"""

import collections
import json
import os
import re
import select
import socket
import sys
import time
from urllib.parse import quote

IP_BIND_ADDRESS_NO_PORT = 24
ADDRESSES = 8
#: So many come at a time, and then what there is to be heard is heard.
BATCH = 100
TENTH = 0.1
NUMBER = re.compile(rb"\ndata: (\d+)\n")


class Listeners:
    def __init__(self, host, port, net, room):
        self.server, self.net = (host, int(port)), net
        self.request = f"GET /events?room={quote(room, safe='')} HTTP/1.1\r\nhost: h\r\n\r\n"
        self.poll = select.epoll()
        self.sockets, self.newest = {}, {}
        #: When each was told something last.
        self.last = {}
        self.times, self.silence, self.heard = [], 0.0, set()

    def come(self, streams):
        for nth in range(streams):
            client = socket.socket()
            client.setsockopt(socket.IPPROTO_IP, IP_BIND_ADDRESS_NO_PORT, 1)
            client.bind((f"127.0.{self.net}.{1 + nth % ADDRESSES}", 0))
            client.connect(self.server)
            client.sendall(self.request.encode())
            client.setblocking(False)
            self.sockets[client.fileno()] = client
            self.poll.register(client, select.EPOLLIN)
            while len(self.sockets) - len(self.newest) > BATCH:
                self.hear(0.1)
        while len(self.newest) < len(self.sockets):
            self.hear(0.1)

    def hear(self, within):
        """Reads what there is; whether there is a line on the standard input."""
        asked = False
        ready = self.poll.poll(within, 1000)
        now = time.monotonic()
        for number, _ in ready:
            if number == 0:
                asked = True
                continue
            try:
                data = os.read(number, 65_536)
            except ConnectionError:
                data = b""
            if not data:
                self.sockets.pop(number).close()
                self.last.pop(number, None)
                self.newest.pop(number, None)
                continue
            self.silence = max(self.silence, now - self.last.get(number, now))
            self.last[number] = now
            self.times.append(now)
            self.heard.add(number)
            if b"\ndata: " in data:
                self.newest[number] = data
        return asked

    def together(self):
        first, most = 0, 0
        for nth, at in enumerate(self.times):
            while self.times[first] < at - TENTH:
                first += 1
            most = max(most, nth - first + 1)
        return most

    def say(self):
        now = time.monotonic()
        newest = collections.Counter(
            int(NUMBER.findall(data)[-1]) for data in self.newest.values()
        )
        print(json.dumps({
            "streams": len(self.sockets),
            "heard": len(self.heard),
            "silence": max([self.silence, *(now - at for at in self.last.values())]),
            "together": self.together(),
            "newest": newest,
        }), flush=True)

    def forget(self):
        self.times, self.silence, self.heard = [], 0.0, set()

    def listen(self):
        print(len(self.sockets), flush=True)
        self.poll.register(0, select.EPOLLIN)
        while True:
            if self.hear(0.5):
                lines = os.read(0, 1000).splitlines()  # each is written at once
                if not lines:
                    return
                for line in lines:
                    self.forget() if line == b"forget" else self.say()


if __name__ == "__main__":
    host, port, net, streams, room = sys.argv[1:]
    listeners = Listeners(host, port, net, room)
    listeners.come(int(streams))
    listeners.listen()
