"""The seat: a client that comes back with its token has its old place, in one
step that nobody sees; with anything else it is a new visitor. And the maximum
age, which sends clients away whose seat is kept until they are back.

That nobody sees it is shown without waiting: a witness joins afterwards, and an
observer is told of things in the order in which they happened.
"""

import itertools
import re
import time

from support import FaultTest, RoomsTest
from visitor import H2Visitor, head, Visitor
from waiting import eventually, measured

PROTOCOLS = {"HTTP/1.1": Visitor, "HTTP/2": H2Visitor}


class Seat(RoomsTest):
    def assert_told(self, observer, room, *numbers):
        """The observer was told these numbers until now, and no other."""
        witness = self.visit(self.started, room)
        observer.sees(witness.newest)
        self.assertEqual(observer.history, [*numbers, witness.newest])
        self.assertEqual(witness.newest, numbers[-1] + 1)
        witness.close()
        observer.sees(numbers[-1])

    def test_every_stream_is_told_a_token_of_its_own_in_its_first_event_only(self):
        for protocol, kind in PROTOCOLS.items():
            with self.subTest(protocol=protocol):
                room = next(self.rooms)
                visitors = [self.visit(self.started, room, kind=kind) for _ in range(10)]
                visitors[0].sees(10)
                for visitor in visitors:
                    first, *later = visitor.events
                    self.assertRegex(first.token, re.compile("^[0-9a-f]{32}$"))
                    self.assertTrue(2000 <= first.retry <= 5000, first)
                    self.assertEqual({(e.token, e.retry) for e in later} - {(None, None)}, set())
                self.assertEqual(len({visitor.token for visitor in visitors}), 10)

    def test_who_returns_with_a_token_takes_the_seat_over_and_nobody_sees_it(self):
        for (before, old_kind), (after, new_kind) in itertools.product(PROTOCOLS.items(), repeat=2):
            with self.subTest(before=before, after=after):
                room, observer = self.room_with_an_observer()
                old = self.visit(self.started, room, kind=old_kind)
                observer.sees(2)
                new = self.visit(self.started, room, old.token, kind=new_kind)
                self.assertEqual(new.history, [2])
                self.assertEqual(new.token, old.token)
                seconds = old.is_ended()
                measured(f"the old stream of a seat ({before}) is ended after", seconds)
                self.assertEqual(old.history, [2])
                self.assertEqual(self.started.count(room), 2)
                self.assert_told(observer, room, 1, 2)
                end = self.end_logged(self.started, room=room, reason="replaced")
                self.assertEqual(end["count"], 2)
                # The seat is the new one's alone: its end is an end.
                new.close()
                observer.sees(1, within=1)

    def test_a_token_that_is_there_twice_is_passed_over(self):
        for protocol, kind in PROTOCOLS.items():
            for others in ("the same", "f" * 32, ""):
                with self.subTest(protocol=protocol, others=others):
                    room, observer = self.room_with_an_observer()
                    old = self.visit(self.started, room, kind=kind)
                    observer.sees(2)
                    other = old.token if others == "the same" else others
                    headers = [("last-event-id", other)]
                    if kind is Visitor:
                        headers = [": ".join(header) for header in headers]
                    new = self.visit(self.started, room, old.token, kind=kind, headers=headers)
                    self.assertEqual(new.history, [3])
                    self.assertNotEqual(new.token, old.token)
                    observer.sees(3)
                    self.assertEqual(observer.history, [1, 2, 3])

    def test_a_seat_is_taken_over_time_and_again(self):
        for protocol, kind in PROTOCOLS.items():
            with self.subTest(protocol=protocol):
                room, observer = self.room_with_an_observer()
                visitor = self.visit(self.started, room, kind=kind)
                observer.sees(2)
                for _ in range(20):
                    visitor, old = self.visit(self.started, room, visitor.token, kind=kind), visitor
                    old.is_ended()
                    old.close()
                    self.assertEqual(visitor.history, [2])
                self.assert_told(observer, room, 1, 2)
                visitor.close()
                observer.sees(1, within=1)

    def test_the_only_one_in_a_room_takes_their_own_seat_over(self):
        room = next(self.rooms)
        old = self.visit(self.started, room)
        new = self.visit(self.started, room, old.token)
        old.is_ended()
        self.assertEqual((new.history, new.token), ([1], old.token))
        new.close()
        eventually("the count", lambda: self.started.count(room), 0, within=1)

    def test_a_seat_taken_over_hears_of_every_change_after_it(self):
        room, observer = self.room_with_an_observer()
        visitor = self.visit(self.started, room)
        for _ in range(20):
            # The change is made while the seat changes hands.
            returning = self.visit(self.started, room, visitor.token, ready=False)
            other = self.visit(self.started, room)
            returning.sees(3, within=1)
            other.close()
            returning.sees(2, within=1)
            visitor = returning
        self.assertLessEqual(max(observer.history), 3)

    def test_an_old_stream_that_takes_nothing_any_more_is_over_all_the_same(self):
        # Over HTTP/2 the window may be closed on a connection that is alive.
        server = self.server("--keep-alive", "100ms")
        old = self.visit(server, kind=H2Visitor, window=100)
        old.connection.h2.acknowledge_received_data = lambda *_: None
        beside = self.visit(server, "beside")
        self.until("20 heartbeats", lambda: len(beside.history) > 20)
        self.assertLess(len(old.history), 10, "the window is closed")
        self.visit(server, token=old.token)
        self.until(
            "there are two streams, and one of them is beside",
            lambda: server.metrics()["headcount_streams"] == 2,
            within=2,
        )

    def test_what_is_nobodys_token_makes_a_new_visitor(self):
        room, observer = self.room_with_an_observer()
        gone = self.visit(self.started, room)
        observer.sees(2)
        gone.close()
        observer.sees(1)
        mine = observer.token
        for what, token in {
            "nothing": "",
            "unknown": "0" * 32,
            "of one who has left": gone.token,
            "too short": mine[:-1],
            "too long": mine + "0",
            "with a sign": "+" + mine[1:],
            "two of them": f"{mine},{mine}",
            "in quotes": f'"{mine}"',
            "not hexadecimal": "g" * 32,
            "not UTF-8": "\xff" * 32,
            "huge": "a" * 8000,
            "huge, and begins like mine": mine * 250,
        }.items():
            with self.subTest(token=what):
                visitor = self.visit(self.started, room, token)
                self.assertEqual(visitor.history, [2])
                self.assertNotIn(visitor.token, [token, mine])
                observer.sees(2)
                visitor.close()
                observer.sees(1)
        self.assertIsNone(observer.ended)

    def test_of_newcomers_with_the_same_token_at_once_one_is_counted(self):
        for newcomers in [2, 2, 2, 2, 2, 8, 8, 8]:
            with self.subTest(newcomers=newcomers):
                room, observer = self.room_with_an_observer()
                ghost = self.visit(self.started, room)
                observer.sees(2)
                returned = self.at_once(newcomers, room, ghost.token)
                # All but one are ended; who, is for them to settle.
                eventually("how many are not ended", lambda: self.open(returned), 1)
                ghost.is_ended()
                for visitor in returned:
                    visitor.wait("its first event", lambda visitor: visitor.events)
                    self.assertEqual((visitor.history, visitor.token), ([2], ghost.token))
                self.assertEqual(self.started.count(room), 2)
                self.assert_told(observer, room, 1, 2)
                self.assertEqual(self.open(returned), 1)

    def at_once(self, newcomers, room, token):
        """Visitors whose requests are complete at nearly the same time: all but
        the last byte of each is there before any last byte is sent."""
        request = head(room, token)
        visitors = [
            self.visit(self.started, request=request[:-1], ready=False) for _ in range(newcomers)
        ]
        for visitor in visitors:
            visitor.send(request[-1:])
        return visitors

    def open(self, visitors):
        for visitor in visitors:
            visitor.pump()
        return sum(visitor.ended is None for visitor in visitors)


class Age(FaultTest):
    """`--max-age`, scaled down to seconds. Here everybody is sent away now and
    then, the observers too, so an observer is one that comes back each time."""

    AGE = 3.0
    #: How long a seat is kept.
    KEPT = 10.0

    @classmethod
    def setUpClass(cls):
        cls.started = cls.shared_server("--max-age", "3s")
        cls.rooms = map("room {}".format, itertools.count())

    def test_streams_are_ended_at_an_age_that_is_spread_and_with_a_short_retry(self):
        room = next(self.rooms)
        visitors = [
            self.visit(self.started, room, kind=kind)
            for kind in [Visitor, H2Visitor] for _ in range(20)
        ]
        ages, retries = [], []
        deadline = time.monotonic() + self.AGE + 2
        while len(ages) < len(visitors) and time.monotonic() < deadline:
            for visitor in visitors:
                visitor.pump(0.001)
                if visitor.ended and visitor not in [v for v, _ in ages]:
                    ages.append((visitor, time.monotonic() - visitor.events[0].at))
        self.assertEqual(len(ages), len(visitors), "all of them are ended")
        for visitor, age in ages:
            self.assertEqual(visitor.ended, "ended")
            self.assertTrue(0.8 * self.AGE - 0.2 <= age <= self.AGE + 0.5, age)
            last = visitor.events[-1]
            self.assertEqual((last.number, last.token), (None, None))
            retries.append(last.retry)
        self.assertLess(max(retries), 2000)
        ages = [age for _, age in ages]
        self.assertGreater(max(ages) - min(ages), 0.05 * self.AGE, "the ages are spread")
        self.assertGreater(len(set(retries)), 1, "the retries are spread")

    def test_who_returns_in_time_changes_no_number(self):
        for protocol, kind in PROTOCOLS.items():
            with self.subTest(protocol=protocol):
                room = next(self.rooms)
                visitors = [self.visit(self.started, room, kind=kind) for _ in range(3)]
                told = [[1, 2, 3], [2, 3], [3]]
                again = []
                # Each is sent away and comes back while the others are here, are
                # away, or are back; and none of them is told anything of it.
                for visitor, numbers in zip(visitors, told):
                    visitor.is_ended(within=self.AGE + 2)
                    self.assertEqual(visitor.history, numbers)
                    self.assertEqual(self.started.count(room), 3)
                    again.append(self.visit(self.started, room, visitor.token, kind=kind))
                self.assertEqual(self.started.count(room), 3)
                for visitor, returned in zip(visitors, again):
                    returned.pump()
                    self.assertEqual((returned.token, returned.history), (visitor.token, [3]))

    def test_who_does_not_return_is_uncounted_when_the_seat_has_been_kept(self):
        room = next(self.rooms)
        visitor = self.visit(self.started, room)
        visitor.is_ended(within=self.AGE + 2)
        ended = time.monotonic()
        visitor.close()
        self.assertEqual(self.started.count(room), 1)
        eventually("the count", lambda: self.started.count(room), 0, within=self.KEPT + 2)
        kept = time.monotonic() - ended
        measured("a seat is kept for", kept)
        self.assertTrue(self.KEPT - 0.5 <= kept <= self.KEPT + 1, kept)
        self.assertEqual(self.end_logged(self.started, room=room)["reason"], "aged out")
        late = self.visit(self.started, room, visitor.token)
        self.assertNotEqual(late.token, visitor.token)

    def test_a_client_that_leaves_before_its_age_is_uncounted_at_once(self):
        room = next(self.rooms)
        visitor = self.visit(self.started, room)
        visitor.close()
        eventually("the count", lambda: self.started.count(room), 0, within=1)

    def test_without_the_option_no_stream_is_ended(self):
        # The heartbeats go on past the age at which the others end.
        server = self.server("--keep-alive", "500ms")
        visitor = self.visit(server)
        visitor.wait("8 heartbeats", lambda visitor: len(visitor.history) > 8)
        self.assertIsNone(visitor.ended)
        self.assertEqual(set(visitor.history), {1})
