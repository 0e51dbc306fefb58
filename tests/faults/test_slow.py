"""Readers that stop reading: they cost nothing, they slow nobody, and when they go
on they are soon told the newest number.

Changes come in bursts of a few visitors, who have all come, or are all gone
again, at its end. So the test knows the number that everybody is to see.
"""

import signal
import statistics

from support import FaultTest
from visitor import H2Visitor, Visitor
from waiting import eventually, measured

#: How many visitors come, and then go, in a burst. With those who stay it is a
#: small crowd, in which every change is an event of its own.
BURST = 20
STOPPED = 40
CHANGES = 10_000

#: What a stopped reader's own system takes for it, in bytes: Linux doubles what is
#: asked for.
RECEIVE_BUFFER = 4096
#: What the server is to keep unsent for it, in bytes; and what its own system threw
#: away for want of room, and is sent again.
UNSENT = 2048 + RECEIVE_BUFFER
#: An event in its chunk, at its shortest: "1b\r\nevent: user count\ndata: 12\n\n\r\n".
EVENT = 33
OLD_EVENTS = (2 * RECEIVE_BUFFER + UNSENT) // EVENT

MB = 1024 * 1024
#: Were the events kept for those who don't read, they would be some 15 MB.
GROWTH = 4 * MB


class Slow(FaultTest):
    def come(self, server, visitors=BURST):
        # Not `visit`, which remembers everybody until the end.
        return [Visitor(server, ready=False) for _ in range(visitors)]

    def bursts(self, server, observer, changes=CHANGES):
        """Makes so many changes; the observer sees the number after each burst
        within a second."""
        here = observer.newest
        for _ in range(changes // (2 * BURST)):
            burst = self.come(server)
            try:
                measured("beside stopped readers: told after", observer.sees(here + BURST, 1))
            finally:
                for visitor in burst:
                    visitor.close()
            measured("beside stopped readers: told after", observer.sees(here, 1))

    def test_readers_that_stop_cost_nothing_slow_nobody_and_catch_up(self):
        # Alive all the same: nobody is taken for gone while the test lasts.
        server = self.server("--user-timeout", "10m", quiet=True)
        observer = self.visit(server)
        stopped = [self.visit(server, receive_buffer=RECEIVE_BUFFER) for _ in range(STOPPED)]
        # They all simply don't read; this one's process is stopped.
        process = self.child(stopped[0].hand_over())
        process.send_signal(signal.SIGSTOP)
        observer.sees(1 + STOPPED)

        self.bursts(server, observer, CHANGES // 10)
        before = server.rss()
        self.bursts(server, observer)
        growth = server.rss() - before
        self.assertLess(growth, GROWTH)
        self.assertGreater(server.metrics()["headcount_lagged_total"], STOPPED)

        # More than there ever were, so the last number can't be an old one.
        stay = self.come(server, BURST + 1)
        for visitor in stay:
            self.addCleanup(visitor.close)
        newest = 1 + STOPPED + BURST + 1
        observer.sees(newest, within=1)
        process.send_signal(signal.SIGCONT)
        waits = []
        for nth, visitor in enumerate(stopped):
            with self.subTest(stopped="by a signal" if nth == 0 else "by not reading"):
                has = visitor.read + visitor.unread()
                waits.append(visitor.sees(newest))
                self.assertLess(len(visitor.history), OLD_EVENTS)
                if nth > 0:
                    self.assertLess(visitor.read - has, UNSENT)
        # Few of them have to wait for what their own system had no room for and
        # threw away, and which TCP sends again only when its time has come.
        measured("a stopped reader goes on: newest after", statistics.median(waits))
        self.assertLess(statistics.median(waits), 0.5)
        # And from now on each is told every step again.
        stay.pop().close()
        for visitor in stopped:
            visitor.sees(newest - 1, within=1)

    def fill_the_buffers_of_all_who_do_not_read(self, server):
        """Until they are full nothing shows that somebody doesn't read."""
        for _ in range(CHANGES // 10 // (2 * BURST)):
            for visitor in [Visitor(server) for _ in range(BURST)]:
                visitor.close()

    def test_a_reader_that_stops_for_longer_than_the_user_timeout_is_gone(self):
        server = self.server("--user-timeout", "1s", "--keep-alive", "200ms")
        self.visit(server, receive_buffer=RECEIVE_BUFFER)
        self.fill_the_buffers_of_all_who_do_not_read(server)
        eventually("the count", server.count, 0, within=0.2 + 1 + 1)
        # In a line of its own, or with those who came and went before it.
        eventually("how many timed out", lambda: server.visits()["timed out"], 1)

    def test_readers_that_stop_cost_no_more_over_http_2(self):
        server = self.server("--user-timeout", "10m", quiet=True)
        observer = self.visit(server)
        for _ in range(STOPPED):
            self.visit(server, kind=H2Visitor, receive_buffer=RECEIVE_BUFFER)
        observer.sees(1 + STOPPED)
        self.bursts(server, observer, CHANGES // 10)
        before = server.rss()
        self.bursts(server, observer)
        self.assertLess(server.rss() - before, GROWTH)

    def test_a_reader_that_stops_is_gone_once_its_age_and_its_seat_are_over(self):
        server = self.server("--max-age", "3s", "--keep-alive", "100ms", "--user-timeout", "10m")
        descriptors = server.fds()
        stopped = Visitor(server, receive_buffer=RECEIVE_BUFFER)
        self.addCleanup(stopped.close)
        # Over HTTP/2 the window can be closed by one who answers every PING.
        closed = self.visit(server, kind=H2Visitor, window=100)
        closed.connection.h2.acknowledge_received_data = lambda *_: None
        self.fill_the_buffers_of_all_who_do_not_read(server)
        self.until("the count is 0", lambda: server.count() == 0, within=3 + 10 + 1)
        self.assertLess(len(closed.history), 10, "the window is closed")
        eventually(
            "how many aged out",
            lambda: len(server.logged("user disconnected", reason="aged out")), 2,
        )
        closed.close()
        eventually("the number of its descriptors", server.fds, descriptors)
