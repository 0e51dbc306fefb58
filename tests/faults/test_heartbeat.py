"""Heartbeats, from both ends. Whatever happens in its room, each stream is told something
within K (`--keep-alive`); and no outage shorter than U (`--user-timeout`) costs anybody
their seat, nor does a reader that stops.
"""

import itertools
import json
import pathlib
import resource
import selectors
import subprocess
import sys
import time
import unittest

import test_cable
from links import Http2, Tab, query
from support import FaultTest, end
from visitor import H2Visitor, Visitor
from waiting import counted, eventually, measured

LISTENERS = pathlib.Path(__file__).with_name("listeners.py")

ROOM = "crowd"


def allowed(keep_alive):
    """How long a stream may be silent, on a busy machine too."""
    return 1.25 * keep_alive + 1


class Listeners:
    """Processes that hold streams of one room, and say what they hear."""

    def __init__(self, test, server, streams, processes=1):
        self._processes = []
        for nth in range(processes):
            arguments = [*server.address, 10 + nth, streams // processes, ROOM]
            process = subprocess.Popen(
                [sys.executable, LISTENERS, *map(str, arguments)],
                stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
            )
            test.addCleanup(end, process)
            self._processes.append(process)
        for process in self._processes:
            test.assertEqual(process.stdout.readline(), f"{streams // processes}\n")

    def _say(self, line):
        for process in self._processes:
            process.stdin.write(f"{line}\n")
            process.stdin.flush()

    def forget(self):
        """What they heard is to be of no interest any more."""
        self._say("forget")

    def heard(self):
        """What they all heard since."""
        self._say("what?")
        said = [json.loads(process.stdout.readline()) for process in self._processes]
        return {
            "streams": sum(one["streams"] for one in said),
            "heard": sum(one["heard"] for one in said),
            "silence": max(one["silence"] for one in said),
            "together": max(one["together"] for one in said),
            "newest": {int(number) for one in said for number in one["newest"]},
        }


class Patient:
    """A client that notes when it is told something."""

    def __init__(self):
        self.last, self.silence = None, 0.0

    def answered(self, status):
        assert status == 200, f"refused: {status}"

    def told(self, event):
        self.silence = max(self.silence, event.at - (self.last or event.at))
        self.last = event.at

    def over(self, how):
        raise AssertionError(f"the server has ended a stream ({how})")


class Browsers:
    """Streams of one room over HTTP/2, many on each connection."""

    TABS = 100

    def __init__(self, test, server, streams):
        self._selector = selectors.DefaultSelector()
        test.addCleanup(self._selector.close)
        self._clients = [Patient() for _ in range(streams)]
        for nth, client in enumerate(self._clients):
            if nth % self.TABS == 0:
                connection = Http2(self._selector, server.address)
                test.addCleanup(connection.fin)
            Tab(client, connection).ask(query(ROOM))
        test.until(
            "the tabs are told",
            lambda: self.hear() or all(client.last for client in self._clients),
        )

    def hear(self):
        for key, _ in self._selector.select(0):
            key.data.ready()

    def forget(self):
        for client in self._clients:
            client.silence = 0.0

    def silence(self):
        """For how long at most one was told nothing."""
        self.hear()
        now = time.monotonic()
        return max(max(client.silence, now - client.last) for client in self._clients)


def visit_often(server, rate, seconds, meanwhile=lambda: None):
    """One rude client, which comes and goes in the same breath so often."""
    with selectors.DefaultSelector() as selector:
        connection = Http2(selector, server.address)
        start = time.monotonic()
        for nth in itertools.count():
            visit = Tab(Patient(), connection)
            visit.ask(query(ROOM))
            visit.cancel()
            due = start + (nth + 1) / rate
            while True:
                for key, _ in selector.select(0.001):
                    key.data.ready()
                meanwhile()
                if time.monotonic() > due:
                    break
            if due > start + seconds:
                connection.fin()
                return nth + 1


class Crowd(FaultTest):
    @classmethod
    def setUpClass(cls):
        # Inherited by the server and the listeners, each of whom needs thousands.
        limits = resource.getrlimit(resource.RLIMIT_NOFILE)
        cls.addClassCleanup(resource.setrlimit, resource.RLIMIT_NOFILE, limits)
        resource.setrlimit(resource.RLIMIT_NOFILE, (limits[1], limits[1]))

    def be_rude(self, server, rate, seconds, meanwhile=lambda: None):
        before = server.metrics()["headcount_joins_total"]
        visits = visit_often(server, rate, seconds, meanwhile)
        joins = server.metrics()["headcount_joins_total"] - before
        self.assertGreater(joins, 0.9 * visits, "they are all counted, for so short a time")

    def test_a_rude_visitor_mutes_nobody_in_a_large_crowd(self):
        keep_alive, crowd = 3, 15_000
        server = self.server(
            "--keep-alive", f"{keep_alive}s", "--user-timeout", "4s", quiet=True
        )
        start = time.monotonic()
        listeners = Listeners(self, server, crowd, processes=2)
        measured(f"{crowd} listeners come", time.monotonic() - start)
        for rate in (10, 200):
            with self.subTest(visits_a_second=rate):
                listeners.forget()
                self.be_rude(server, rate, 3.5 * keep_alive)
                heard = listeners.heard()
                measured(f"longest silence among {crowd}, {rate} visits/s", heard["silence"])
                self.assertEqual(heard["streams"], crowd, "nobody has left")
                self.assertLess(heard["silence"], allowed(keep_alive))
        eventually("the count", lambda: server.count(ROOM), crowd)
        eventually("what each was told last", lambda: listeners.heard()["newest"], {crowd})

    def test_a_rude_visitor_mutes_nobody_over_either_protocol(self):
        # In so large a crowd a whole visit fits into the room's pause, and then there
        # is nothing to be told.
        keep_alive, crowd, tabs = 1, 2_500, 300
        server = self.server("--keep-alive", f"{keep_alive}s", quiet=True)
        listeners = Listeners(self, server, crowd)
        browsers = Browsers(self, server, tabs)
        eventually("the count", lambda: server.count(ROOM), crowd + tabs)
        for rate in (40, 200):
            listeners.forget()
            browsers.forget()
            self.be_rude(server, rate, 5 * keep_alive, browsers.hear)
            heard = {"HTTP/1.1": listeners.heard()["silence"], "HTTP/2": browsers.silence()}
            for protocol, silence in heard.items():
                with self.subTest(visits_a_second=rate, protocol=protocol):
                    measured(f"longest silence, {rate} visits/s, {protocol}", silence)
                    self.assertLess(silence, allowed(keep_alive))
        self.assertEqual(server.count(ROOM), crowd + tabs)

    def test_those_who_heard_the_same_event_have_their_heartbeats_at_different_times(self):
        keep_alive, crowd = 3, 2_000
        server = self.server("--keep-alive", f"{keep_alive}s", quiet=True)
        listeners = Listeners(self, server, crowd)
        together = []
        # One round in which the machine was busy does not matter. Were they not spread,
        # they would come at once in each.
        while len(together) < 3 and (not together or min(together) > crowd / 2):
            self.visit(server, ROOM)
            newest = {crowd + len(self.visitors)}
            eventually("what is told", lambda: listeners.heard()["newest"], newest)
            listeners.forget()
            eventually("how many had a heartbeat", lambda: listeners.heard()["heard"], crowd)
            together.append(listeners.heard()["together"])
        counted(f"of {crowd} heartbeats at most within a tenth of a second", min(together))
        self.assertLessEqual(min(together), crowd / 2)


class Outage(FaultTest):
    """The cable is pulled, and back before U is over."""

    @classmethod
    def setUpClass(cls):
        test_cable.CableTest.setUpClass.__func__(cls)

    def setUp(self):
        super().setUp()
        self.here, self.there = test_cable.Namespace(), test_cable.Namespace()
        self.addCleanup(self.here.close)
        self.addCleanup(self.there.close)

    def network(self, nth, keep_alive, user_timeout):
        """A server and a cable that leads to it."""
        server = self.server(
            "--keep-alive", f"{keep_alive}s", "--user-timeout", f"{user_timeout}s",
            listen="0.0.0.0:0", namespace=self.here,
        )
        return server, test_cable.Cable(nth, self.here, self.there)

    def come(self, server, cable, room):
        """Somebody over the cable, alone in a room, by the protocol that its name says."""
        kind = H2Visitor if room.startswith("HTTP/2") else Visitor
        with self.there.entered():
            return self.visit(server, room, kind=kind, host=cable.host)

    def pass_the_time(self, until):
        self.until("so much time has passed", lambda: time.monotonic() > until, 60)

    def change(self, server, rooms):
        """Somebody beside the server comes to each room."""
        with self.here.entered():
            return [self.visit(server, room) for room in rooms]

    def goes_on(self, server, visitors, numbers):
        """All are there, on the same stream, and were told this and nothing else."""
        for room, visitor in visitors.items():
            with self.subTest(room):
                self.assertEqual(server.logged("user disconnected", room=room), [])
                self.assertIsNone(visitor.ended)
                told = [number for number, _ in itertools.groupby(visitor.history)]
                self.assertEqual(told, numbers)

    def test_an_outage_shorter_than_the_user_timeout_uncounts_nobody(self):
        # Some are in rooms where nothing is said for a minute, others hear heartbeats; and
        # of each kind everybody has been there for another time when the cable is pulled.
        rare, long = self.network(1, keep_alive=60, user_timeout=8)
        often, short = self.network(2, keep_alive=1, user_timeout=4)
        start = time.monotonic()
        quiet, lively = {}, {}
        for nth in range(18):
            self.pass_the_time(start + nth * 0.5)
            room = f"HTTP/{1 + nth % 2}, {9 - nth * 0.5} s before"
            quiet[room] = self.come(rare, long, room)
        for nth in range(8):
            self.pass_the_time(start + 9 + nth * 0.13)
            room = f"HTTP/{1 + nth % 2}, number {nth}"
            lively[room] = self.come(often, short, room)

        pulled = time.monotonic()
        long.pull()
        short.pull()
        # For some of them it begins with a change, for others with a heartbeat.
        self.change(often, [*lively][:3])
        self.pass_the_time(pulled + 2)
        self.change(often, [*lively][3:])
        self.pass_the_time(pulled + 3)
        long.plug_in()
        # By its own doubling TCP has just tried, and would not again before U is over.
        self.pass_the_time(pulled + 3.5)
        short.plug_in()
        back = time.monotonic()
        with self.subTest("all are told what they missed"):
            self.until(
                "told", lambda: all(one.newest == 2 for one in lively.values()), within=1.5
            )
            measured("cable back after 3.5 s: told the newest after", time.monotonic() - back)

        # Longer than any limit that began while it was pulled.
        self.pass_the_time(back + 12)
        self.goes_on(often, lively, [1, 2])
        # Twice: whoever is given up for having been silent is not told of the second.
        for number in (2, 3):
            self.change(rare, quiet)
            self.until(
                "a change is told", lambda: all(one.newest == number for one in quiet.values())
            )
        self.goes_on(rare, quiet, [1, 2, 3])


class Stopped(FaultTest):
    def test_a_reader_that_stops_is_counted_whatever_its_buffer(self):
        changes, user_timeout = 2_000, 2
        server = self.server(
            "--keep-alive", "1s", "--user-timeout", f"{user_timeout}s", "--stall-timeout", "1m",
            quiet=True,
        )
        observer = self.visit(server)
        stopped = {
            "small": Visitor(server, receive_buffer=4096),
            "automatic": Visitor(server),
        }
        for visitor in stopped.values():
            self.addCleanup(visitor.close)
        for _ in range(changes // 2):
            Visitor(server).close()
        observer.sees(3)
        until = time.monotonic() + 3 * user_timeout
        self.until("they are idle for long", lambda: time.monotonic() > until)
        self.assertEqual((server.count(), observer.newest), (3, 3))
        self.visit(server)
        for buffer, visitor in stopped.items():
            with self.subTest(buffer=buffer):
                visitor.sees(4)


if __name__ == "__main__":
    unittest.main()
