"""The base of every fault test.

`self.server(...)` starts a server of its own on a free port, `self.visit(...)`
opens a stream; both end with the test. `cls.shared_server(...)` is for a class whose
tests share one. All of them together:

    target/venv/bin/python tests/faults/all.py

With MEASURE=1 they say at the end how long things took: the figures in docs/numbers.md.
"""

import datetime
import itertools
import json
import signal
import time
import unittest

from server import Server
from visitor import Visitor
from waiting import DEADLINE, eventually


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


class RoomsTest(FaultTest):
    """A test in rooms of its own, on one server that the whole class shares."""

    @classmethod
    def setUpClass(cls):
        # The heartbeat of 15 s and the user timeout of 20 s come too late to help.
        cls.started = cls.shared_server()
        cls.rooms = map("room {}".format, itertools.count())

    def next_room(self):
        """A room of whose visitors the log will say each one: it has been said of few
        in the last second, so there are lines left."""
        eventually("how many lines are left", self.lines_left, lambda lines: lines > 50)
        return next(self.rooms)

    def lines_left(self):
        """How many visitors may have a line of their own at once (src/journal.rs)."""
        second_ago = datetime.datetime.now(datetime.UTC) - datetime.timedelta(seconds=1)
        of_visitors = itertools.takewhile(
            lambda line: datetime.datetime.fromisoformat(line["timestamp"]) > second_ago,
            map(json.loads, reversed(list(self.started.lines))),
        )
        return 200 - sum(1 for _ in of_visitors)

    def room_with_an_observer(self):
        room = self.next_room()
        return room, self.visit(self.started, room)


def end(process):
    """Ends a process that this one started, if it has not ended."""
    process.send_signal(signal.SIGCONT)
    process.kill()
    process.wait(DEADLINE)
    for pipe in (process.stdin, process.stdout, process.stderr):
        if pipe:
            pipe.close()
