"""However a client ends its stream, and whatever it said before, it is uncounted
within a second, and the log says how it left.

A client that says more than its request is the hard case: hyper stops watching
for the client's FIN once a surplus byte has come, and only the next heartbeat,
up to 15 s later, would find out.
"""

import itertools
import socket

from support import RoomsTest
from visitor import H2Visitor, head, readable
from waiting import DEADLINE, measured

#: What the contract allows, in seconds.
WITHIN = 1.0

#: How a client leaves who has read its events, and the reason that is logged.
ENDS = {
    "FIN": "client closed",
    "RST": "reset",
    "half-close": "client closed",
    "SIGKILL": "client closed",
}

#: With events that it has not read a close is an RST, and so is a kill.
ENDS_UNREAD = ENDS | {"FIN": "reset", "SIGKILL": "reset"}

#: What a client says after the head of its GET.
SURPLUS = {
    "nothing": b"",
    "a byte": b"x",
    "a bare CRLF": b"\r\n",
    "a pipelined request": b"GET /count HTTP/1.1\r\nhost: headcount\r\n\r\n",
    "a pipelined stream": head(),
    "an announced body": head(headers=["content-length: 5"]) + b"hello",
    "20 kB": b"x" * 20_000,
}


class Ends(RoomsTest):
    def leave(self, visitor, how, process=()):
        if how == "SIGKILL":
            self.child(visitor.hand_over(*process)).kill()
        else:
            {"FIN": visitor.close, "RST": visitor.reset, "half-close": visitor.half_close}[how]()

    def assert_uncounted(self, room, observer, reason, what):
        """The observer is told, `/count` says so, and the log says why."""
        measured(f"{what}: uncounted after", observer.sees(1, within=WITHIN))
        self.assertEqual(observer.history, [1, 2, 1])
        self.assertEqual(self.started.count(room), 1)
        end = self.end_logged(self.started, room=room)
        self.assertEqual((end["reason"], end["count"]), (reason, 1))
        self.assertIsInstance(end["lasted_ms"], int)
        self.assertEqual(
            [line["count"] for line in self.started.logged("user connected", room=room)], [1, 2]
        )

    def test_every_end_is_noticed_within_a_second_whatever_came_with_the_request(self):
        for how, said in itertools.product(ENDS, SURPLUS):
            with self.subTest(end=how, after=said):
                room, observer = self.room_with_an_observer()
                visitor = self.visit(self.started, room, after=SURPLUS[said])
                observer.sees(2)
                self.leave(visitor, how)
                self.assert_uncounted(room, observer, ENDS[how], how)

    def test_every_end_is_noticed_within_a_second_whatever_came_during_the_stream(self):
        for how, said in itertools.product(ENDS, SURPLUS):
            with self.subTest(end=how, after=said):
                room, observer = self.room_with_an_observer()
                visitor = self.visit(self.started, room)
                visitor.send(SURPLUS[said])
                observer.sees(2)
                self.leave(visitor, how)
                self.assert_uncounted(room, observer, ENDS[how], f"{how} after a surplus")

    def test_every_end_is_noticed_over_http_1_0(self):
        for how, said in itertools.product(ENDS, ["nothing", "a byte"]):
            with self.subTest(end=how, after=said):
                room, observer = self.room_with_an_observer()
                visitor = self.visit(self.started, room, version="1.0", after=SURPLUS[said])
                observer.sees(2)
                self.leave(visitor, how)
                self.assert_uncounted(room, observer, ENDS[how], f"{how} over HTTP/1.0")

    def test_every_end_is_noticed_while_events_wait_unread(self):
        for how, said in itertools.product(ENDS_UNREAD, ["nothing", "a byte"]):
            with self.subTest(end=how, after=said):
                room, observer = self.room_with_an_observer()
                visitor = self.visit(self.started, room, after=SURPLUS[said], ready=False)
                observer.sees(2)
                self.assertTrue(readable(visitor.socket, DEADLINE), "its first event is there")
                self.leave(visitor, how, process=("sleep", "60"))
                what = f"{how} with unread events"
                self.assert_uncounted(room, observer, ENDS_UNREAD[how], what)

    def test_a_half_closed_stream_is_ended_by_the_server(self):
        for version in ["1.0", "1.1"]:
            with self.subTest(version=version):
                visitor = self.visit(self.started, next(self.rooms), version=version)
                visitor.half_close()
                visitor.wait("the stream's end", lambda visitor: visitor.ended, WITHIN)
                self.assertNotEqual(visitor.ended, "reset")

    def test_a_client_that_leaves_in_the_same_breath_is_not_left_behind(self):
        for how in ENDS:
            with self.subTest(end=how):
                room, observer = self.room_with_an_observer()
                for _ in range(50):
                    visitor = self.visit(self.started, room, ready=False)
                    self.leave(visitor, how, process=("sleep", "60"))
                # Whoever of them was counted is not any more, once this one,
                # who came after them, has been answered.
                last = self.visit(self.started, room)
                observer.sees(2, within=WITHIN)
                self.assertEqual(self.started.count(room), 2)
                last.close()
                observer.sees(1, within=WITHIN)

    def test_every_end_is_noticed_over_http_2(self):
        for how, reason in [
            ("close", "client closed"),
            ("reset", "reset"),
            ("half_close", "client closed"),
            ("give_up", "client closed"),
        ]:
            with self.subTest(end=how):
                room, observer = self.room_with_an_observer()
                visitor = self.visit(self.started, room, kind=H2Visitor)
                observer.sees(2)
                getattr(visitor, how)()
                self.assert_uncounted(room, observer, reason, f"{how} over HTTP/2")

    def test_a_get_with_a_body_is_refused_and_never_counted(self):
        for said in ["content-length: 5", "transfer-encoding: chunked"]:
            with self.subTest(said=said), socket.create_connection(self.started.address) as client:
                room, observer = self.room_with_an_observer()
                client.settimeout(DEADLINE)
                client.sendall(head(room, headers=[said]) + b"5\r\nhello\r\n0\r\n\r\n")
                answer = client.recv(4096)
                self.assertEqual(answer[:13], b"HTTP/1.1 400 ")
                answer += b"".join(iter(lambda: client.recv(4096), b""))
                self.assertIn(b'{"error":', answer)
                observer.pump()
                self.assertEqual(observer.history, [1])
