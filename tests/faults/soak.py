"""The soak: 300 mixed clients come and go at random, by every means, in one room or in
several at once. Now and then nothing is changed for a while, and then `/count` of each
room and the last event of each live stream, of each of its rooms, have to be what the
soak's own list of clients says.

    target/venv/bin/python tests/faults/soak.py                   ten minutes (`make soak`)
    target/venv/bin/python tests/faults/soak.py --seconds 60 --only tls --seed 7

On failure it says the seed, which repeats the choices (but not the timing), and what
disagrees. test_soak.py runs it for a minute.
"""

import argparse
import collections
import contextlib
import heapq
import itertools
import json
import pathlib
import random
import selectors
import ssl
import subprocess
import sys
import tempfile
import time
import types
from dataclasses import dataclass

import raw
from certificate import certificate
from links import Http1, Http2, Refused, Tab, query
from proxies import Proxy, Recipe
from server import Server
from waiting import DEADLINE, measured

KEEP_ALIVE = 1.0
#: Short, so that whoever is alive and uncounted all the same is soon found.
USER_TIMEOUT = 4.0
CLIENTS = 300
#: With how much of the coming and going each room has to do.
ROOMS = {"site": 12, "article": 6, "Füße & co": 3, "shop": 2, "corner": 1}
#: The share of those who are in several rooms at once.
SEVERAL = 1 / 3
#: The share of those who come back with their token for other rooms.
CHANGES_ROOMS = 0.4
#: How many changes a second are tried, and for how long, until the next quiet point.
RATES, BUSY = (30, 100, 300), (0.5, 3.0)
#: Addresses that the clients have.
SOURCES = [f"127.0.3.{last}" for last in range(1, 21)]

#: How long a seat waits for its client: after `hold=1`, and after `--max-age`.
HOLD, AGED_HOLD = 1.5, 10.0
#: The server ends a stream at `--max-age` less up to a fifth; whoever is younger, and
#: half a second for the machine, is not being ended now.
JITTER, MARGIN = 0.8, 0.5
#: After so many milliseconds a client returns that was told nothing of it.
RETRY = 1000
#: The share of those who stop reading and never read on, and how many of all they may be.
FOR_GOOD, MOST_FOR_GOOD = 0.4, 0.15
#: The share of those whose stream was ended for its age who don't return.
FAITHLESS = 0.03

#: What a client that reads little takes, in bytes: Linux doubles it.
SMALL_BUFFER = 4096
TABS = 6  # at most, on one connection
HOLDERS, HELD = 4, 5  # processes that have connections, and how many each
TAIL = 8  # how much of its history a client remembers

SURPLUS = b"\r\nGET /count HTTP/1.1\r\nhost: h\r\n\r\nx"
REFUSED = [
    b"GET /events?room= HTTP/1.1\r\nhost: h\r\n\r\n",
    b"POST /events HTTP/1.1\r\nhost: h\r\ncontent-length: 0\r\n\r\n",
    b"HEAD /events HTTP/1.1\r\nhost: h\r\n\r\n",
    b"GET /events HTTP/1.1\r\nhost: h\r\ncontent-length: 5\r\n\r\nhello",
    b"GET /events HTTP/1.1\r\n\r\n",
]


@dataclass
class Configuration:
    """A way to run the server."""

    name: str
    tls: bool = False
    proxy: bool = False
    max_age: float | None = None
    #: Nobody stops reading for longer than so many seconds.
    longest_stop: float = float("inf")
    #: Whether that goes for streams over HTTP/2 too.
    tabs_stop: bool = True


CONFIGURATIONS = (
    Configuration("plain"),
    Configuration("tls", tls=True),
    # Whoever stops for longer misses that they are to return.
    Configuration("max-age", max_age=5.0, longest_stop=6.0),
    # Its own limit is a minute. And HAProxy 2.6 was seen to leave a stream over HTTP/2
    # that reads on without anything for 20 s, heartbeats too, which the server alone
    # never did.
    Configuration("haproxy", proxy=True, longest_stop=20.0, tabs_stop=False),
)


class Disagreement(AssertionError):
    """What the server says, or does, is not what it should."""


class Client:
    """A client, for all the streams that it has one after the other, and whether it
    has a seat."""

    numbers = itertools.count(1)

    def __init__(self, soak, rooms, protocol, *, observes=False, holds=False, small=False):
        self.name = next(self.numbers)
        self.soak, self.rooms, self.protocol = soak, rooms, protocol
        self.observes, self.holds, self.small = observes, holds, small
        #: `asked`, `here`, `stopped` (it doesn't read), `handed` (to another process),
        #: `away` (until it returns) and `gone`.
        self.state = None
        #: Whether the numbers of its rooms should have it.
        self.is_seated = False
        self.token = self.expected_token = None
        #: Whose seat it takes over; and whether another is taking this one's.
        self.heir_of, self.is_claimed = None, False
        self.stream, self.since = None, None
        self.stopped_at, self.for_good = None, False
        #: The number that it was told last, of each room; and when to return.
        self.told_last, self.farewell = {}, None
        self.history = collections.deque(maxlen=TAIL)

    def open(self, token=None, way="header", after=b""):
        """Asks for a stream, with a token if it has one."""
        soak = self.soak
        self.state, self.since = "asked", time.monotonic()
        self.expected_token, self.farewell, self.told_last = token, None, {}
        self.stopped_at = None
        asks = {"observe": 1} if self.observes else {"hold": 1} if self.holds else {}
        if token and way == "query":
            asks, token = {**asks, "lastEventID": token}, None
        asked = query(self.rooms, **asks)
        self.note(f"asks for {asked}")
        if self.protocol == "http1":
            self.stream = soak.http1(self)
            self.stream.ask(asked, token, after)
        else:
            self.stream = Tab(self, soak.http2(alone=self.protocol == "h2 alone"))
            self.stream.ask(asked, token)

    @property
    def age(self):
        return time.monotonic() - self.since

    def note(self, what):
        self.history.append((time.monotonic(), what))

    # What its stream tells it.

    def answered(self, status):
        if status != 200:
            self.soak.wrong(f"answered with {status}", self)

    def told(self, event):
        if event.number is None:
            self.farewell = event.retry
            self.note(f"retry: {event.retry}")
            return
        self.hears(event.number, event.room)
        if self.state != "asked":
            return
        self.state = "here"
        self.token = event.token
        if (self.token is None) != self.observes:
            self.soak.wrong(f"its token is {self.token}", self)
        if self.expected_token and self.token != self.expected_token:
            self.soak.wrong(f"its seat {self.expected_token} is lost, of {self.heir_of}", self)
        if self.heir_of:
            old, self.heir_of = self.heir_of, None
            self.soak.replaced(old)
        elif not self.observes and not self.is_seated and self.holds:
            self.soak.succeeds(self.rooms)
        self.is_seated = not self.observes

    def hears(self, number, room):
        """Its only room has no name in its events, one of several has."""
        if (room is None) != (len(self.rooms) == 1) or room not in (None, *self.rooms):
            self.soak.wrong(f"told {number} of {room!r}", self)
        self.note(number if room is None else f"{number} in {room!r}")
        self.told_last[room or self.rooms[0]] = number

    def over(self, how):
        self.note(f"over: {how}")
        self.soak.over(self, how)

    def __str__(self):
        now = time.monotonic()
        tail = ", ".join(f"{now - at:.2f} s ago {what}" for at, what in self.history)
        kind = [self.protocol] + [
            word for word in ("observes", "holds", "small") if getattr(self, word)
        ]
        seated = "seated" if self.is_seated else "not seated"
        return f"{self.name} {' '.join(kind)} in {self.rooms}, {self.state}, {seated}: {tail}"


class Soak:
    """A server, its clients, and what they should be told."""

    def __init__(self, configuration, seed, *, clients=CLIENTS, user_timeout=USER_TIMEOUT):
        self.configuration, self.seed = configuration, seed
        self.target = clients
        self.random = random.Random(f"{seed} {configuration.name}")
        self.did = collections.Counter()
        #: What else is wrong, once something is.
        self.found = None
        #: Those who have a stream, or want one.
        self.clients = set()
        #: Connections over HTTP/2 that newcomers may share.
        self.shared = []
        #: Processes that have the connections of some clients.
        self.holders = []
        #: Seats that wait for their clients: their rooms, until when, and if for anybody.
        self.waiting = []
        #: Those who have left or were replaced, and whom the server still has to end.
        self.to_be_ended = set()
        #: Connections that ask for no stream, until when.
        self.idle = []
        self.refused = []
        self.is_quiet = False
        self._returns, self._order = [], itertools.count()
        self._stack = contextlib.ExitStack()
        self.selector = self._stack.enter_context(selectors.DefaultSelector())
        try:
            self._start(user_timeout)
        except BaseException:
            self._stack.close()
            raise

    def _start(self, user_timeout):
        options = ["--keep-alive", f"{KEEP_ALIVE:g}s", "--user-timeout", f"{user_timeout:g}s"]
        # Who doesn't read is here all the same.
        options += ["--stall-timeout", "1h"]
        self.context = None
        if self.configuration.tls:
            directory = self._stack.enter_context(tempfile.TemporaryDirectory())
            cert, key = certificate(pathlib.Path(directory), "soak")
            options += ["--tls-cert", cert, "--tls-key", key]
            self.context = ssl.create_default_context(cafile=cert)
        if self.configuration.max_age:
            options += ["--max-age", f"{self.configuration.max_age:g}s"]
        if self.configuration.proxy:
            options += ["--trusted-proxy", "127.0.0.1/32"]
        self.server = Server(*options, quiet=True)
        self._stack.callback(self.server.stop)
        self.address = self.server.address
        if self.configuration.proxy:
            # Its limits on silence stay as they are.
            recipe = Recipe("haproxy.cfg", {"bind :80": "bind fd@{fd}"})
            test = types.SimpleNamespace(addCleanup=self._stack.callback)
            self.address = Proxy(test, recipe, self.server).address

    def __enter__(self):
        return self

    def __exit__(self, *_):
        for process, _ in self.holders:
            end(process)
        for key in list(self.selector.get_map().values()):
            key.data.fin()
        for client in self.clients:
            if client.state == "stopped" and isinstance(client.stream, Http1):
                client.stream.fin()
        self._stack.close()

    # Connections.

    def link(self, kind, *arguments, receive_buffer=None, protocol=None):
        if self.context:
            self.context.set_alpn_protocols([protocol or kind.protocol])
        return kind(
            *arguments, self.selector, self.address, context=self.context,
            source=self.random.choice(SOURCES), receive_buffer=receive_buffer,
        )

    def http1(self, client):
        buffer = SMALL_BUFFER if client.small else None
        return self.link(Http1, client, receive_buffer=buffer)

    def http2(self, alone):
        """A connection of its own, or one that others may share."""
        if alone:
            return self.link(Http2)
        self.shared = [one for one in self.shared if one.is_open and 0 < len(one.tabs) < TABS]
        if not self.shared or self.random.random() < 0.2:
            self.shared.append(self.link(Http2))
            return self.shared[-1]
        return self.random.choice(self.shared)

    # What happens to clients.

    def replaced(self, old):
        """Another has this one's seat: the server ends its stream."""
        self.clients.discard(old)
        old.is_seated = False
        if old.state in ("here", "stopped"):
            old.state = "replaced"
            self.expect_end(old)
            old.stream.read_on()
        else:
            old.state = "gone"

    def expect_end(self, client):
        if client.stream.is_open:
            self.to_be_ended.add(client)

    def succeeds(self, rooms):
        """Somebody came with `hold=1`: a seat that waits there for anybody is theirs. If
        the server gave them another, the two agree again when both have waited."""
        for seat in self.waiting:
            if {*seat[0]} & {*rooms} and seat[2] and seat[1] > time.monotonic():
                self.waiting.remove(seat)
                return

    def over(self, client, how):
        """The server has ended a stream."""
        if client in self.to_be_ended:
            self.to_be_ended.remove(client)
            client.state = "gone"
            return
        if client.is_claimed:
            # It is heard before the one who has taken the seat over. If that isn't why,
            # the seat is lost, or it waits.
            client.state = "away"
            return
        age = self.configuration.max_age
        # Over HTTP/2 one who doesn't read hears of it if their window has room.
        if not age or client.state not in ("here", "stopped") or client.age < age * JITTER:
            return self.wrong(f"the server has ended a stream ({how})", client)
        # One who doesn't read is not waited for.
        if client.stopped_at is None and (client.farewell is None or how != "ended"):
            return self.wrong(f"no farewell, and {how}", client)
        # How long the seat of one who didn't read has waited already can't be known.
        faithless = client.stopped_at is None and self.random.random() < FAITHLESS
        if client.observes or faithless:
            self.did["do not return"] += 1
            self.gone(client)
            if not client.observes:
                self.waiting.append((client.rooms, time.monotonic() + AGED_HOLD, False))
            return
        self.did["return"] += 1
        client.state = "away"
        at = time.monotonic() + (client.farewell or RETRY) / 1000
        heapq.heappush(self._returns, (at, next(self._order), client))

    def gone(self, client):
        self.clients.discard(client)
        client.state, client.is_seated = "gone", False

    def left(self, client):
        """A client has left of its own accord."""
        if client.is_seated and client.holds:
            self.waiting.append((client.rooms, time.monotonic() + HOLD, True))
        self.gone(client)

    # What clients do.

    def is_young(self, client):
        """Whether the server isn't about to end it for its age."""
        age = self.configuration.max_age
        return not age or client.age < age * JITTER - MARGIN

    def may_act(self, *states):
        """Those who are in one of these states, and of whom nothing else is expected."""
        return [
            client for client in self.clients
            if client.state in states and not client.is_claimed and self.is_young(client)
        ]

    def pick(self, *states, suits=lambda client: True):
        some = sorted(filter(suits, self.may_act(*states)), key=lambda client: client.name)
        return self.random.choice(some) if some else None

    def join(self):
        client = self.newcomer()
        surplus = SURPLUS if client.protocol == "http1" and self.random.random() < 0.2 else b""
        self.did["join with surplus" if surplus else "join"] += 1
        client.open(after=surplus)

    def newcomer(self):
        choose = self.random
        rooms = self.choose_rooms()
        protocol = choose.choices(["http1", "h2", "h2 alone"], [6, 3, 1])[0]
        manner = choose.choices(["plain", "observes", "holds"], [8, 1, 2])[0]
        client = Client(
            self, rooms, protocol, observes=manner == "observes", holds=manner == "holds",
            small=choose.random() < 0.3,
        )
        self.clients.add(client)
        return client

    def choose_rooms(self):
        if self.random.random() < SEVERAL:
            return self.random.sample([*ROOMS], self.random.randint(2, len(ROOMS)))
        return self.random.choices([*ROOMS], [*ROOMS.values()])

    def rooms_after(self, rooms):
        """Those that somebody asks for who comes back with a token. At a quiet point they
        are the same, for whoever is sent away has to come back then too."""
        if self.is_quiet or self.random.random() > CHANGES_ROOMS:
            return rooms
        self.did["changes rooms"] += 1
        return self.choose_rooms()

    def leave(self):
        for_good = [client for client in self.clients if client.for_good]
        most = len(for_good) > MOST_FOR_GOOD * self.target
        client = self.pick("here", "stopped", suits=lambda one: one.for_good == most)
        if not client:
            return
        stopped = " unread" if client.state == "stopped" else ""
        stream = client.stream
        if isinstance(stream, Http1):
            ways = ["fin", "reset", "half_close", "goodbye", "surplus"]
            way = self.random.choice(ways)
            if way == "surplus":
                stream.send(b"y")
            getattr(stream, "fin" if way == "surplus" else way)()
        else:
            way = "cancel"
            stream.cancel()
        self.did[f"{client.protocol.split()[0]} {way}{stopped}"] += 1
        client.note(f"leaves: {way}")
        self.left(client)
        if way == "half_close":
            client.state = "left"
            self.expect_end(client)
        elif way == "cancel" and not stream.connection.tabs:
            self.let_idle(stream.connection)

    def drop_connection(self):
        """A connection over HTTP/2 goes, and all of its streams with it."""
        client = self.pick("here", "stopped", suits=lambda one: isinstance(one.stream, Tab))
        if not client:
            return
        connection = client.stream.connection
        tabs = [one for one in self.clients if getattr(one.stream, "connection", 0) is connection]
        tabs = [one for one in tabs if one.stream.number in connection.tabs]
        if len(tabs) < len(connection.tabs) or not {*tabs} <= {*self.may_act("here", "stopped")}:
            return
        way = self.random.choice(["fin", "reset", "half_close", "goodbye"])
        self.did[f"h2 connection {way}"] += 1
        for one in tabs:
            one.note(f"leaves, its connection: {way}")
            self.left(one)
            one.state = "left"
            if way == "half_close":
                self.expect_end(one)
        getattr(connection, way)()
        self.shared = [one for one in self.shared if one is not connection]

    def same_breath(self):
        """Comes and goes before it was told anything."""
        client = self.newcomer()
        client.open()
        self.did["same breath"] += 1
        self.gone(client)
        if isinstance(client.stream, Tab):
            client.stream.cancel()
            if not client.stream.connection.tabs:
                self.let_idle(client.stream.connection)
        elif self.random.random() < 0.5:
            client.stream.fin()
        else:
            client.stream.reset()

    def take_over(self):
        """Comes back with its token while its old stream is open."""
        old = self.pick("here", "stopped", suits=lambda one: not one.observes)
        if not old:
            return
        protocol = self.random.choice(["http1", "h2", "h2 alone"])
        rooms = self.rooms_after(old.rooms)
        new = Client(self, rooms, protocol, holds=old.holds, small=old.small)
        self.clients.add(new)
        new.heir_of, old.is_claimed = old, True
        way = self.random.choice(["header", "query"])
        self.did[f"take-over by {way}"] += 1
        old.note(f"is taken over by {new.name}")
        new.open(old.token, way)

    def stop_reading(self):
        tabs = self.configuration.tabs_stop
        client = self.pick("here", suits=lambda one: tabs or one.protocol == "http1")
        if client:
            client.state, client.stopped_at = "stopped", time.monotonic()
            client.for_good = self.random.random() < FOR_GOOD
            how = "stops reading" + " for good" * client.for_good
            self.did[f"{client.protocol} {how}"] += 1
            client.note(how)
            client.stream.stop_reading()

    def read_on(self, client):
        self.did["reads on"] += 1
        client.state, client.for_good = "here", False
        client.note("reads on")
        client.stream.read_on()

    def hand_over(self):
        """Some connections get to a process that alone has them, and is killed."""
        if len(self.holders) == HOLDERS:
            return self.kill()
        some = [
            client for client in self.may_act("here", "stopped")
            if isinstance(client.stream, Http1)
        ]
        some = self.random.sample(sorted(some, key=lambda c: c.name), min(len(some), HELD))
        if not some:
            return
        numbers = [client.stream.socket.fileno() for client in some]
        # `cat` reads its standard input, which ends when this process does.
        process = subprocess.Popen(
            ["cat"], stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, pass_fds=numbers
        )
        for client in some:
            client.state = "handed"
            client.note("is another process's")
            client.stream.fin()
        self.holders.append((process, some))
        if self.configuration.max_age:
            self.kill()  # before it is too old

    def kill(self):
        if self.holders:
            process, clients = self.holders.pop(0)
            end(process)
            self.did["killed"] += len(clients)
            for client in clients:
                client.note("killed")
                self.left(client)

    def be_refused(self):
        self.did["refused"] += 1
        refused = Refused()
        if self.random.random() < 0.5:
            connection = self.link(Http2)
            path, method, body = self.random.choice([
                ("/events?room=", "GET", None),
                ("/events?room=site&room=site", "GET", None),
                ("/events?room=site&room=", "GET", None),
                ("/events", "HEAD", None),
                ("/events", "POST", b"hello"),
            ])
            connection.request(refused, path, method, body=body)
        else:
            connection = self.link(Plain, refused, protocol="http/1.1")
            connection.send(self.random.choice(REFUSED))
        self.refused.append((connection, refused))

    def be_silent(self):
        """A connection that says nothing, or that has nothing to say any more."""
        self.did["silent"] += 1
        if self.random.random() < 0.5:
            self.let_idle(self.link(Http2))
        else:
            self.let_idle(self.link(Plain, Refused(), protocol="http/1.1"))

    def let_idle(self, connection):
        self.idle.append((time.monotonic() + self.random.uniform(0.1, 8), connection))

    def change(self):
        """Does one thing, at random."""
        here = len(self.clients)
        comes = 0.5 + 2 * (self.target - here) / self.target
        if self.random.random() < 0.7:
            (self.join if self.random.random() < comes else self.leave)()
        else:
            self.random.choices(
                [self.take_over, self.stop_reading, self.same_breath, self.drop_connection,
                 self.hand_over, self.kill, self.be_refused, self.be_silent, self.go_on],
                [8, 10, 3, 1, 1, 1, 4, 2, 3],
            )[0]()

    def go_on(self):
        client = self.pick("stopped", suits=lambda one: not one.for_good)
        if client:
            self.read_on(client)

    # Time.

    def turn(self, within):
        """Does what is due, and reads what there is, waiting so long for it."""
        now = time.monotonic()
        while self._returns and self._returns[0][0] <= now:
            client = heapq.heappop(self._returns)[2]
            if client.state == "away" and not client.is_claimed:
                client.rooms = self.rooms_after(client.rooms)
                client.open(client.token, self.random.choice(["header", "query"]))
        latest = now - self.configuration.longest_stop
        for client in [one for one in self.clients if one.state == "stopped"]:
            if client.stopped_at < latest and not client.is_claimed:
                self.read_on(client)
        for until, connection in [one for one in self.idle if one[0] <= now]:
            self.idle.remove((until, connection))
            if connection.is_open and not getattr(connection, "tabs", None):
                connection.fin()
        for connection, refused in [one for one in self.refused if one[1].is_over]:
            self.refused.remove((connection, refused))
            if not 400 <= (refused.status or 0) < 500:
                raise Disagreement(self.report(f"what is refused is answered {refused.status}"))
            if connection.is_open:
                connection.fin()
        for key, _ in self.selector.select(within):
            if key.fileobj.fileno() >= 0 and key.data.is_open:
                key.data.ready()

    def run(self, seconds):
        """Changes and quiet points in turns for so long; at least two of them."""
        started, points = time.monotonic(), 0
        while points < 2 or time.monotonic() < started + seconds:
            self.busy(self.random.uniform(*BUSY), self.random.choice(RATES))
            self.is_quiet = True
            self.quiet()
            self.is_quiet = False
            points += 1
        self.did["quiet points"] += points

    def busy(self, seconds, rate):
        start, changes = time.monotonic(), 0
        while time.monotonic() < start + seconds or len(self.clients) < self.target / 2:
            wanted = (time.monotonic() - start) * rate
            # A crowd as large as it shall be comes in one go.
            while changes < wanted or len(self.clients) < self.target / 2:
                self.change()
                changes += 1
                if changes % 10 == 0:
                    break
            self.turn(0.001 if changes < wanted else 1 / rate)

    def quiet(self):
        """Makes no change until all agree, within a deadline."""
        stopped = [client for client in self.may_act("stopped") if not client.for_good]
        stopped.sort(key=lambda client: client.name)
        for client in self.random.sample(stopped, len(stopped) // 2):
            self.read_on(client)
        start = time.monotonic()
        while True:
            self.turn(0.01)
            if not self.differing() and not self.under_way():
                told = self.counts()
                self.turn(0)
                if told == self.oracle() and not self.differing() and not self.under_way():
                    measured(f"soak, {self.configuration.name}: agreed after",
                             time.monotonic() - start)
                    return
            if time.monotonic() > start + DEADLINE:
                raise Disagreement(self.report("no agreement"))

    # Who should be where.

    def oracle(self):
        """How many are in each room."""
        now = time.monotonic()
        self.waiting = [seat for seat in self.waiting if seat[1] > now]
        seats = collections.Counter()
        for rooms, *_ in self.waiting:
            seats.update(rooms)
        for client in self.clients:
            if client.is_seated:
                seats.update(client.rooms)
        return {room: seats[room] for room in ROOMS}

    def under_way(self):
        """Those who have not been told their first number, or not been ended."""
        asked = [one for one in self.clients if one.state == "asked" and not one.is_seated]
        return asked + [*self.to_be_ended]

    def differing(self):
        """Those who read, and whose last event of some room is not what it should be."""
        oracle = self.oracle()
        return [
            one for one in self.clients
            if one.state == "here"
            and any(one.told_last.get(room) != oracle[room] for room in one.rooms)
        ]

    def counts(self):
        """What the server says, asked beside any proxy."""
        return {room: json.loads(self.ask(f"/count?{query(room)}"))["count"] for room in ROOMS}

    def ask(self, path):
        with raw.connect(self.server.address) as sock:
            if self.context:
                self.context.set_alpn_protocols(["http/1.1"])
                sock = self.context.wrap_socket(sock, server_hostname=self.server.host)
            with sock:
                return raw.ask_on(sock, raw.request(path)).body.decode()

    def wrong(self, what, client):
        if self.found is not None:
            self.found.append(f"{what}: {client}")
        else:
            raise Disagreement(self.report(f"{what}: {client}"))

    def report(self, what):
        """All that is known of a disagreement."""
        lines = [what]
        self.found = lines
        oracle = self.oracle()
        lines += self.asked(lambda: [
            f"room {room!r}: should be {oracle[room]}, /count says {count}"
            for room, count in self.counts().items()
        ])
        now = time.monotonic()
        lines += [f"a seat waits in {rooms} for {until - now:.1f} s more, "
                  f"{'for anybody' if anybody else 'for its client'}"
                  for rooms, until, anybody in self.waiting]
        for room in ROOMS:
            differing = [
                client for client in self.differing()
                if room in client.rooms and client.told_last.get(room) != oracle[room]
            ]
            lines += [f"differs in {room!r}: {client}" for client in differing[:5]]
            lines += [f"and {len(differing) - 5} more of them"] * (len(differing) > 5)
        lines += [f"under way: {client}" for client in self.under_way()]
        lines += self.asked(lambda: [
            line for line in self.ask("/metrics").splitlines()
            if line.startswith("headcount_ends_total") and not line.endswith(" 0")
        ])
        lines.append(f"did: {dict(self.did)}")
        lines += self.server.lines[-5:]
        # What follows changes things, so it comes last.
        stopped = [client for client in self.clients if client.state == "stopped"]
        handed = sum(client.state == "handed" for client in self.clients)
        lines.append(f"{handed} are another process's; when the {len(stopped)} read on that had"
                     " stopped:")
        for client in stopped:
            self.read_on(client)
        until = time.monotonic() + 2 * KEEP_ALIVE
        while time.monotonic() < until:
            self.turn(0.01)
        return "\n".join(lines)

    def asked(self, question):
        """Its answer, or why there is none."""
        try:
            return question()
        except (AssertionError, OSError) as error:
            return [f"{type(error).__name__}: {error}"]


class Plain(Http1):
    """A connection over HTTP/1 whose answer is no stream."""

    def _take(self, data):
        self._head += data
        if b"\r\n" in self._head:
            self._client.answered(int(self._head.split(b" ", 2)[1]))
            self._client.end("answered")

    def _end(self, how):
        self._client.end(how)


def end(process):
    """Kills a process of the soak's."""
    process.kill()
    process.stdin.close()
    process.wait(DEADLINE)


def run(configuration, seconds, seed, **options):
    """Soaks one configuration; what was done, and how often."""
    try:
        with Soak(configuration, seed, **options) as soak:
            soak.run(seconds)
            return soak.did
    except Exception as error:
        error.add_note(f"soak.py --seed {seed} --only {configuration.name}")
        raise


def main():
    parser = argparse.ArgumentParser(description="Soaks a server in mixed clients.")
    parser.add_argument("--seconds", type=float, default=600.0, help="in all")
    parser.add_argument("--seed", default=str(random.randrange(1 << 32)))
    parser.add_argument("--clients", type=int, default=CLIENTS)
    parser.add_argument("--user-timeout", type=float, default=USER_TIMEOUT, metavar="SECONDS")
    parser.add_argument("--only", choices=[one.name for one in CONFIGURATIONS])
    given = parser.parse_args()
    chosen = [one for one in CONFIGURATIONS if given.only in (None, one.name)]
    print(f"seed {given.seed}")
    for configuration in chosen:
        try:
            did = run(
                configuration, given.seconds / len(chosen), given.seed,
                clients=given.clients, user_timeout=given.user_timeout,
            )
        except Disagreement as error:
            sys.exit("\n".join([str(error), *error.__notes__]))
        print(f"{configuration.name}: agreed at {did.pop('quiet points')} quiet points;"
              f" {did.total():,} deeds: {dict(sorted(did.items()))}", flush=True)


if __name__ == "__main__":
    main()
