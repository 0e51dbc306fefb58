"""One stream in several rooms: it has one token, one place and one heartbeat, and is in
each of its rooms somebody like anybody else, who comes there, and goes, alone.
"""

import itertools
import json
import pathlib
import re
import signal
import ssl
import tempfile
import time
import unittest

import raw
from certificate import certificate
from http2 import Http2
from support import FaultTest
from test_tls import TlsVisitor
from visitor import H2Visitor, Visitor, head, query_of
from waiting import eventually, measured

PROTOCOLS = {"HTTP/1.1": Visitor, "HTTP/2": H2Visitor}

#: So many rooms a stream may have.
MOST = 32
#: How long a seat waits for its client after `hold=1`, in seconds.
HOLD = 1.5


class SeveralTest(FaultTest):
    """A test in rooms of its own, on one server that the whole class shares."""

    OPTIONS = ()

    @classmethod
    def setUpClass(cls):
        # The heartbeat of 15 s comes too late to help.
        cls.started = cls.shared_server(*cls.OPTIONS)
        cls.numbers = itertools.count()

    def rooms(self, number):
        nth = next(self.numbers)
        return [f"{nth}{chr(ord('a') + letter)}" for letter in range(number)]

    def counts(self, rooms, server=None):
        return [(server or self.started).count(room) for room in rooms]

    def observe(self, rooms):
        """One in each of these rooms, and in no other."""
        return [self.visit(self.started, room) for room in rooms]

    def assert_told(self, observers, rooms, told):
        """Each observer was told these numbers until now, and no other."""
        for observer, room, numbers in zip(observers, rooms, told, strict=True):
            witness = self.visit(self.started, room)
            observer.sees(witness.newest)
            self.assertEqual(observer.history, [*numbers, witness.newest], room)
            self.assertEqual(witness.newest, numbers[-1] + 1)


def told(visitor):
    """All that it was told, and of which rooms."""
    return [(event.room, event.number) for event in visitor.events if event.number is not None]


class Frames(SeveralTest):
    NAMES = ["b", 'a "quoted" \\ one', "Füße & co", "lobby", "</script>\u2028"]

    def first_frame(self, kind, rooms):
        """What a stream is told first, byte for byte."""
        with Http2(self.started.address) as client, raw.connect(self.started.address) as sock:
            if kind is H2Visitor:
                answer = client.ask(f"/events{query_of(rooms)}")
                client.until(lambda: answer.body.endswith(b"\n\n"), "the first frame")
                return answer.body
            sock.sendall(head(rooms))
            answer = b""
            while not answer.endswith(b"\n\n\r\n"):
                answer += sock.recv(65_536)
            size, _, chunk = answer.partition(b"\r\n\r\n")[2].partition(b"\r\n")
            self.assertEqual(int(size, 16) + 2, len(chunk), "it is one chunk")
            return chunk[:-2]

    def test_the_first_frame_tells_of_every_room_in_the_order_of_the_request(self):
        for protocol, kind in PROTOCOLS.items():
            with self.subTest(protocol=protocol):
                first = self.first_frame(kind, self.NAMES).decode()
                _, token, events = re.split(r"\Aretry: \d{4}\nid: ([0-9a-f]{32})\n", first)
                data = [
                    f'{{"room":{json.dumps(name, ensure_ascii=False)},"count":1}}'
                    for name in self.NAMES
                ]
                self.assertEqual(events, "".join(f"event: user count\ndata: {d}\n\n" for d in data))
                self.assertNotIn(token, events)
                eventually("the counts", lambda: sum(self.counts(self.NAMES)), 0)

    def test_a_stream_of_one_room_is_told_bare_numbers_as_ever(self):
        bare = rb"\Aretry: \d{4}\nid: [0-9a-f]{32}\nevent: user count\ndata: 1\n\n\Z"
        for protocol, kind in PROTOCOLS.items():
            with self.subTest(protocol=protocol):
                self.assertRegex(self.first_frame(kind, self.rooms(1)), bare)

    def test_every_change_is_told_once_with_its_room(self):
        for protocol, kind in PROTOCOLS.items():
            with self.subTest(protocol=protocol):
                a, b, c = rooms = self.rooms(3)
                in_c = self.visit(self.started, c)
                several = self.visit(self.started, rooms, kind=kind)
                changes = [(a, 1), (b, 1), (c, 2)]
                for room, number in [(b, 2), (c, 3), (a, 2)]:
                    visitor = self.visit(self.started, room)
                    self.assertEqual(told(visitor), [(None, number)])
                    visitor.close()
                    changes += [(room, number), (room, number - 1)]
                    several.wait("a leave", lambda one: told(one)[-1:] == changes[-1:])
                self.assertEqual(told(several), changes)
                self.assertEqual({event.token for event in several.events[1:]}, {None})
                in_c.sees(2)
                self.assertEqual(in_c.history, [1, 2, 3, 2])

    def test_over_tls_it_is_the_same(self):
        with tempfile.TemporaryDirectory() as directory:
            cert, key = certificate(pathlib.Path(directory), "several")
            server = self.server("--tls-cert", cert, "--tls-key", key)
            contexts = {p: ssl.create_default_context(cafile=cert) for p in ("http/1.1", "h2")}
        for protocol, context in contexts.items():
            context.set_alpn_protocols([protocol])
        over_1 = self.visit(server, ["a", "b"], kind=TlsVisitor, context=contexts["http/1.1"])
        sock = contexts["h2"].wrap_socket(raw.connect(server.address), server_hostname=server.host)
        with Http2(server.address, scheme="https", sock=sock) as client:
            over_2 = client.ask("/events?room=b&room=c")
            client.until(lambda: b'{"room":"b","count":2}' in over_2.body, "its first frame")
            over_1.wait("a join", lambda one: told(one)[2:] == [("b", 2)])
            back = client.ask("/events?room=c&room=a", [("last-event-id", over_1.token)])
            client.until(lambda: b'{"room":"a","count":1}' in back.body, "its first frame")
            changes = [b'{"room":"c","count":2}', b'{"room":"b","count":1}']
            client.until(lambda: all(one in over_2.body for one in changes), "the changes")
        over_1.is_ended()

    def test_however_its_client_leaves_it_is_uncounted_in_each_room_at_once(self):
        for kind, *ways in [
            (Visitor, "close", "reset", "half_close", "be killed"),
            (H2Visitor, "close", "reset", "half_close", "give_up"),
        ]:
            for way in ways:
                with self.subTest(kind=kind.__name__, way=way):
                    rooms = self.rooms(3)
                    several = self.visit(self.started, rooms, kind=kind)
                    self.assertEqual(self.counts(rooms), [1, 1, 1])
                    if way == "be killed":
                        self.child(several.hand_over()).kill()
                    else:
                        getattr(several, way)()
                    eventually("the counts", lambda: self.counts(rooms), [0, 0, 0], within=1)

    def test_whoever_observes_several_rooms_is_told_of_each_and_is_in_none(self):
        for protocol, kind in PROTOCOLS.items():
            with self.subTest(protocol=protocol):
                a, b = rooms = self.rooms(2)
                observer = self.visit(self.started, rooms, kind=kind, asks={"observe": "1"})
                self.assertIsNone(observer.token)
                visitor = self.visit(self.started, b)
                self.assertEqual((visitor.newest, self.counts(rooms)), (1, [0, 1]))
                visitor.close()
                expected = [(a, 0), (b, 0), (b, 1), (b, 0)]
                observer.wait("a leave", lambda one: told(one) == expected)

    def test_a_stream_may_have_as_many_rooms_as_fit_however_long_their_names(self):
        rooms = [f"{nth:03}{'ж' * 35}" for nth in range(MOST)]
        for protocol, kind in PROTOCOLS.items():
            with self.subTest(protocol=protocol):
                small = {"window": 500} if kind is H2Visitor else {"receive_buffer": 1}
                several = self.visit(self.started, rooms, kind=kind, **small)
                several.wait("all", lambda one: len(one.events) == MOST)
                self.assertEqual(told(several), [(room, 1) for room in rooms])
                one_more = self.started.get(f"/events{query_of([*rooms, 'x'])}")
                self.assertEqual((one_more.status, self.started.count("x")), (400, 0))
                several.close()
                eventually("the counts", lambda: sum(self.counts(rooms)), 0)


class Return(SeveralTest):
    def test_whoever_returns_for_other_rooms_stays_joins_and_leaves_and_no_more_is_seen(self):
        pairs = itertools.product(PROTOCOLS.items(), repeat=2)
        for (before, old_kind), (after, new_kind) in pairs:
            with self.subTest(before=before, after=after):
                goes, stays, too, comes = rooms = self.rooms(4)
                observers = self.observe(rooms)
                old = self.visit(self.started, [goes, stays, too], kind=old_kind)
                new = self.visit(self.started, [comes, too, stays], old.token, kind=new_kind)
                self.assertEqual(told(new), [(comes, 2), (too, 2), (stays, 2)])
                self.assertEqual(new.token, old.token)
                old.is_ended()
                self.assertEqual(told(old), [(goes, 2), (stays, 2), (too, 2)])
                self.assertEqual(self.counts(rooms), [1, 2, 2, 2])
                self.assert_told(observers, rooms, [[1, 2, 1], [1, 2], [1, 2], [1, 2]])
                new.close()
                expected = [2, 2, 2, 2]  # the observer and the witness
                eventually("the counts", lambda: self.counts(rooms), expected, within=1)

    def test_a_return_may_share_no_room_and_end_with_one_alone(self):
        a, b, c, d = rooms = self.rooms(4)
        observers = self.observe(rooms)
        visitor = self.visit(self.started, a)
        for kind, wanted, numbers, expected in [
            (Visitor, [c, d], [(c, 2), (d, 2)], [1, 1, 2, 2]),
            (H2Visitor, [b, a], [(b, 2), (a, 2)], [2, 2, 1, 1]),
            (Visitor, [a, b], [(a, 2), (b, 2)], [2, 2, 1, 1]),
            (H2Visitor, [b], [(None, 2)], [1, 2, 1, 1]),
            (Visitor, [b, c], [(b, 2), (c, 2)], [1, 2, 2, 1]),
            (H2Visitor, [d], [(None, 2)], [1, 1, 1, 2]),
        ]:
            with self.subTest(wanted=wanted):
                old = visitor
                visitor = self.visit(self.started, wanted, old.token, kind=kind)
                self.assertEqual((told(visitor), visitor.token), (numbers, old.token))
                old.is_ended()
                self.assertEqual(self.counts(rooms), expected)
        seen = [[1, 2, 1, 2, 1], [1, 2, 1], [1, 2, 1, 2, 1], [1, 2, 1, 2]]
        self.assert_told(observers, rooms, seen)

    def test_whoever_returns_while_the_old_stream_is_reset_is_counted_once_in_each_new_room(self):
        for nth in range(30):
            kind, other = list(PROTOCOLS.values())[:: 1 - 2 * (nth % 2)]
            goes, stays, comes = rooms = self.rooms(3)
            observers = self.observe(rooms)
            old = self.visit(self.started, [goes, stays], kind=kind)
            old.reset()
            new = self.visit(self.started, [stays, comes], old.token, kind=other)
            # Whichever came first, it is seen as a move or as a leave and a join.
            self.assertEqual(new.numbers, {stays: 2, comes: 2})
            eventually("the counts", lambda: self.counts(rooms), [1, 2, 2], within=1)
            moved = new.token == old.token
            in_stays = [1, 2] if moved else [1, 2, 1, 2]
            self.assert_told(observers, rooms, [[1, 2, 1], in_stays, [1, 2]])

    def test_of_newcomers_with_one_token_and_different_rooms_one_is_counted_in_its_rooms(self):
        for nth in range(20):
            a, b, c, d, e = rooms = self.rooms(5)
            old_rooms, *wanted = [a, b], [b, c], [a, d], [e], [c, d, e], [b, a]
            old = self.visit(self.started, old_rooms, kind=[Visitor, H2Visitor][nth % 2])
            requests = [head(each, old.token) for each in wanted]
            newcomers = [
                self.visit(self.started, request=request[:-1], ready=False)
                for request in requests
            ]
            for newcomer, request in zip(newcomers, requests):
                newcomer.send(request[-1:])

            def left():
                for newcomer in newcomers:
                    newcomer.pump()
                return [one for one in newcomers if one.ended is None]

            eventually("how many are left", lambda: len(left()), 1)
            old.is_ended()
            [winner] = left()
            here = wanted[newcomers.index(winner)]
            expected = [int(room in here) for room in rooms]
            eventually("the counts", lambda: self.counts(rooms), expected, within=1)
            self.assertEqual({one.token for one in newcomers}, {old.token})
            winner.close()
            eventually("the counts", lambda: sum(self.counts(rooms)), 0, within=1)

    def test_a_seat_that_is_held_waits_in_each_room_for_whoever_comes_to_one_of_them(self):
        for protocol, kind in PROTOCOLS.items():
            with self.subTest(protocol=protocol):
                goes, stays, comes = rooms = self.rooms(3)
                observers = self.observe(rooms)
                held = {"kind": kind, "asks": {"hold": "1"}}
                left = self.visit(self.started, [goes, stays], **held)
                streams = lambda: self.started.metrics()["headcount_streams"]
                before = streams()
                left.close()
                # Until the server knows, there is no seat that waits.
                eventually("how many streams are open", streams, before - 1)
                back = self.visit(self.started, [comes, stays], **held)
                self.assertEqual(told(back), [(comes, 2), (stays, 2)])
                eventually("the counts", lambda: self.counts(rooms), [1, 2, 2], within=1)
                left = time.monotonic()
                back.close()
                eventually("the counts", lambda: self.counts(rooms), [1, 1, 1])
                self.assertGreater(time.monotonic() - left, HOLD)
                self.assert_told(observers, rooms, [[1, 2, 1], [1, 2, 1], [1, 2, 1]])


class Aged(SeveralTest):
    OPTIONS = ("--max-age", "1s")

    def test_whoever_is_sent_away_for_their_age_may_return_for_other_rooms(self):
        lists = {kind: self.rooms(3) for kind in PROTOCOLS.values()}
        visitors = {
            kind: self.visit(self.started, [goes, stays], kind=kind)
            for kind, (goes, stays, _) in lists.items()
        }
        for kind, visitor in visitors.items():
            with self.subTest(kind=kind.__name__):
                visitor.is_ended()
                goes, stays, comes = rooms = lists[kind]
                self.assertEqual([event.retry is None for event in visitor.events],
                                 [False, True, False], "it is told once when to return")
                self.assertEqual(self.counts(rooms), [1, 1, 0], "its seat is kept")
                back = self.visit(self.started, [stays, comes], visitor.token, kind=kind)
                self.assertEqual((told(back), back.token),
                                 ([(stays, 1), (comes, 1)], visitor.token))
                eventually("the counts", lambda: self.counts(rooms), [0, 1, 1], within=0.5)


class Limits(SeveralTest):
    #: What a refusal may change; and how often it was told of something before.
    REFUSED = re.compile("headcount_refusals_total|headcount_deliveries_total|process_")

    def state(self, server):
        samples = server.metrics().items()
        return {name: value for name, value in samples if not self.REFUSED.match(name)}

    def assert_refused(self, server, status, rooms, *headers, asks=None, method="GET"):
        """By both protocols, and nothing has changed."""
        before = self.state(server)
        path = f"/events{query_of(rooms, asks)}"
        with self.subTest(path=path, headers=headers):
            with Http2(server.address) as client:
                answers = [client.get(path, headers, method=method)]
            lines = [": ".join(header) for header in headers]
            answers.append(raw.ask(server.address, raw.request(path, *lines, method=method)))
            self.assertEqual([answer.status for answer in answers], [status, status])
            self.assertEqual(self.state(server), before)

    def test_if_one_room_is_refused_none_is_joined_and_nobody_is_told(self):
        server = self.server("--max-rooms-per-ip", 3)
        mine, other = self.visit(server, ["a", "b"]), self.visit(server, "b", source="127.0.0.2")
        token = ("last-event-id", mine.token)
        for headers in ([], [token]):
            for rooms in (["a", "c", ""], ["c", "x" * 129], ["c", "a\n"], ["a", "c", "a"]):
                self.assert_refused(server, 400, rooms, *headers)
            self.assert_refused(server, 400, [f"{nth}" for nth in range(MOST + 1)], *headers)
            self.assert_refused(server, 400, ["a", "c"], *headers, asks={"observe": "yes"})
            self.assert_refused(server, 405, ["a", "c"], *headers, method="HEAD")
            self.assert_refused(server, 429, ["a", "lobby", "c", "d", "e"], *headers)
        self.assert_refused(server, 429, ["c", "d"])
        mine.wait("a join", lambda one: told(one) == [("a", 1), ("b", 1), ("b", 2)])
        other.pump()
        self.assertEqual((other.history, mine.ended, other.ended), ([2], None, None))

    def test_if_one_room_is_one_too_many_none_is_opened(self):
        server = self.server("--max-rooms", 3)
        mine = self.visit(server, ["a", "b"])
        for headers in ([], [("last-event-id", mine.token)]):
            self.assert_refused(server, 503, ["a", "c", "d"], *headers)
            self.assert_refused(server, 503, ["c", "lobby", "d"], *headers)
        self.assert_refused(server, 503, ["a", "c", "d"], asks={"observe": "1"})
        new = self.visit(server, ["c", "lobby", "a"])
        self.assertEqual(told(new), [("c", 1), ("lobby", 1), ("a", 2)])
        self.assertEqual(self.counts(["a", "b", "c", "d", "lobby"], server), [2, 1, 1, 0, 1])
        mine.wait("a join", lambda one: told(one) == [("a", 1), ("b", 1), ("a", 2)])

    def test_it_takes_one_place_among_the_streams_and_keeps_it_when_it_returns(self):
        for option, status in [("--max-streams", 503), ("--max-streams-per-ip", 429)]:
            with self.subTest(option):
                server = self.server(option, 1)
                several = self.visit(server, ["a", "b", "c"])
                self.assert_refused(server, status, ["d", "e"])
                self.assert_refused(server, status, ["a"], asks={"observe": "1"})
                for kind, rooms in [(H2Visitor, ["d", "a"]), (Visitor, "e"), (Visitor, ["e", "f"])]:
                    several = self.visit(server, rooms, several.token, kind=kind)
                    self.assert_refused(server, status, ["d", "e"])
                several.close()
                eventually("e", lambda: server.count("e"), 0)
                self.visit(server, ["d", "e"])

    def test_a_return_gives_back_the_rooms_of_its_address_that_it_leaves(self):
        server = self.server("--max-rooms-per-ip", 2)
        visitor = self.visit(server, ["a", "b"])
        for rooms in (["c", "d"], ["a", "c"], ["b"], ["b", "lobby", "a"]):
            visitor = self.visit(server, rooms, visitor.token)
            self.assert_refused(server, 429, ["x", "y", "z"])
        self.visit(server, ["a", "b"])
        self.assert_refused(server, 429, ["c", "a"])
        self.assertEqual(self.counts(["a", "b", "c", "d", "lobby"], server), [2, 2, 0, 0, 1])


class Told(FaultTest):
    """What operators are told of it."""

    def test_it_is_one_stream_in_the_metrics_and_has_a_line_in_the_log_for_each_room(self):
        server = self.server()
        old = self.visit(server, ["a", "b"])
        new = self.visit(server, ["b", "c"], old.token, kind=H2Visitor)
        old.is_ended()
        eventually("a", lambda: server.count("a"), 0)
        metrics = server.metrics()
        self.assertEqual((metrics["headcount_streams"], metrics["headcount_rooms"]), (1, 2))
        self.assertEqual(metrics["headcount_joins_total"], 2)
        self.assertEqual(metrics['headcount_ends_total{reason="replaced"}'], 1)
        self.assertEqual(server.get("/events?room=a&room=a").status, 400)
        new.give_up()
        eventually("c", lambda: server.count("c"), 0)
        eventually("the streams", lambda: server.metrics()["headcount_streams"], 0)
        now = server.metrics()
        ends = {name: n for name, n in now.items() if n and name.startswith("headcount_ends")}
        self.assertEqual(set(ends.values()), {1})
        self.assertEqual(sum(ends.values()), 2)
        refusals = [n for name, n in now.items() if name.startswith("headcount_refusals")]
        self.assertEqual(sum(refusals), 1)
        self.assertEqual(now["headcount_changes_total"], 6)

        def lines(message):
            logged = server.logged(message)
            return [(line["room"], line["count"], line.get("reason")) for line in logged]

        ended = [("a", 0, "replaced"), ("b", 1, "replaced")]
        ended += [("b", 0, "client closed"), ("c", 0, "client closed")]
        eventually("the log of the ends", lambda: lines("user disconnected"), ended)
        self.assertEqual(lines("user connected"), [("a", 1, None), ("b", 1, None), ("c", 1, None)])
        self.assertEqual(lines("user returned"), [("b", 1, None)])


class Ends(FaultTest):
    def test_a_stop_takes_leave_of_each_stream_once_and_is_in_time(self):
        server = self.server()
        rooms = ["a", "b", "c"]
        visitors = [
            self.visit(server, rooms[nth % 3 :] + rooms[: nth % 3], kind=kind)
            for kind in PROTOCOLS.values() for nth in range(6)
        ]
        start = time.monotonic()
        server.signal(signal.SIGTERM)
        for visitor in visitors:
            visitor.is_ended(within=1)
            retries = [nth for nth, event in enumerate(visitor.events) if event.retry]
            self.assertEqual(retries, [0, len(visitor.events) - 1])
            self.assertIsNone(visitor.events[-1].number)
            if isinstance(visitor, H2Visitor):
                visitor.hear_the_end()
        self.assertEqual(server.wait(1), 0)
        measured("stop of 12 streams of three rooms", time.monotonic() - start)
        server.stop()
        self.assertEqual(server.visits(), {"connected": 36, "shutdown": 36})

    def test_a_reader_that_stops_and_reads_on_is_told_the_newest_of_each_room(self):
        server = self.server("--user-timeout", "10m", quiet=True)
        rooms = ["a", "b", "c"]
        observers = {room: self.visit(server, room) for room in rooms}
        stopped = [
            self.visit(server, rooms, receive_buffer=4096),
            self.visit(server, rooms, kind=H2Visitor, window=1000),
        ]
        # One room has its last change long before the others have theirs.
        for room, changes in [("a", 500), ("b", 3), ("c", 500), ("b", 1)]:
            for _ in range(changes // 10):
                burst = [Visitor(server, room, ready=False) for _ in range(10)]
                observers[room].sees(13 if room != "b" else 14)
                for visitor in burst:
                    visitor.close()
                observers[room].sees(3)
            for _ in range(changes % 10):
                self.visit(server, room)
        self.assertGreater(server.metrics()["headcount_lagged_total"], 500)
        expected = {"a": 3, "b": 7, "c": 3}
        for visitor in stopped:
            with self.subTest(kind=type(visitor).__name__):
                visitor.wait("the newest of each", lambda one: one.numbers == expected)
                self.assertLess(len(visitor.history), 800, "it missed some in between")
                self.assertIsNone(visitor.ended)


class Silence(FaultTest):
    KEEP_ALIVE = 1.0

    def test_a_heartbeat_comes_once_a_silence_and_none_while_one_room_is_lively(self):
        server = self.server("--keep-alive", f"{self.KEEP_ALIVE}s", quiet=True)
        silent, lively = [
            [
                self.visit(server, [f"{kind.__name__}, {what}, {nth}" for nth in range(4)], kind=kind)
                for kind in PROTOCOLS.values()
            ]
            for what in ("silent", "lively")
        ]
        start, changes = time.monotonic(), 0
        for changes in range(1, 17):
            for kind in PROTOCOLS.values():
                self.visit(server, f"{kind.__name__}, lively, 2")
            due = start + changes * self.KEEP_ALIVE / 4
            self.until("the next change is due", lambda: time.monotonic() > due)
        for visitor in silent:
            with self.subTest("silent", kind=type(visitor).__name__):
                first, heartbeats = told(visitor)[0], visitor.events[4:]
                self.assertEqual(set(told(visitor)[4:]), {first})
                # One for each silence, and none soon after another.
                self.assertIn(len(heartbeats), range(3, 7))
                times = [event.at for event in heartbeats]
                pauses = [later - at for at, later in itertools.pairwise(times)]
                self.assertGreater(min(pauses), self.KEEP_ALIVE / 2)
        for visitor in lively:
            with self.subTest("lively", kind=type(visitor).__name__):
                lively_one = told(visitor)[2][0]
                expected = [(lively_one, number) for number in range(2, 2 + changes)]
                self.assertEqual(told(visitor)[4:], expected)

    def test_a_client_in_many_lively_rooms_keeps_nothing_from_others(self):
        server = self.server("--keep-alive", f"{self.KEEP_ALIVE}s", quiet=True)
        rooms = [f"lively {nth}" for nth in range(MOST)]
        greedy = [self.visit(server, rooms, kind=kind) for kind in PROTOCOLS.values()]
        other = self.visit(server, "beside")
        here = 1
        for _ in range(15):
            busy = Http2(server.address)
            for _ in range(3):
                streams = [busy.ask(f"/events{query_of(rooms)}", flush=False) for _ in range(10)]
                busy.flush()
                for stream in streams:
                    busy.reset(stream, flush=False)
                busy.flush()
            beside = self.visit(server, "beside")
            here += 1
            other.sees(here, within=1)
            busy.close()
            for visitor in self.visitors:
                visitor.pump()
        for visitor in greedy:
            visitor.wait("the newest", lambda one: set(one.numbers.values()) == {2})
        self.assertGreater(server.metrics()["headcount_changes_total"], 15 * 3 * MOST)


if __name__ == "__main__":
    unittest.main()
