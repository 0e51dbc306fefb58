"""Behind nginx, HAProxy and Caddy as Debian ships them, each with the files of
docs/deploy: the first event, a long silence, a leave, whose address it is, and seven
tabs over HTTP/2.

The proxies' limits on silence are scaled down with the server's keep-alive, so that
a stream which only lives by its heartbeat would end within the test.
"""

import contextlib
import signal
import unittest

from proxies import IDLE_LIMIT, RECIPES, Proxy, Tab, Through
from support import FaultTest
from waiting import measured

KEEP_ALIVE = 1.0  # seconds
TABS = 7  # one more than a browser has connections over HTTP/1


class Proxies(FaultTest):
    def through(self, recipe, *args):
        server = self.server("--keep-alive", f"{KEEP_ALIVE:g}s", *args)
        return server, Proxy(self, recipe, server)

    def each(self, check, recipes=RECIPES):
        for recipe in recipes:
            with self.subTest(recipe=str(recipe)):
                check(recipe)

    def test_the_first_event_comes_through_at_once_and_a_leave_is_seen(self):
        def check(recipe):
            server, there = self.through(recipe)
            observer = self.visit(server)
            closed = self.visit(there, kind=Through, ready=False)
            seconds = closed.sees(2, within=1)
            measured(f"first event through {recipe}", seconds)
            reset = self.visit(there, kind=Through)
            observer.sees(3)
            closed.close()
            reset.reset()
            # Over HTTP/2 HAProxy says so when it has something to pass on.
            within = 2 * KEEP_ALIVE if recipe.more else 1
            measured(f"leaves through {recipe}", observer.sees(1, within=within))

        self.each(check)

    def test_a_change_is_not_held_back(self):
        def check(recipe):
            server, there = self.through(recipe)
            visitor = self.visit(there, kind=Through)
            times = []
            for others in range(5):
                self.visit(server)
                times.append(visitor.sees(2 + others, within=1))
            measured(f"a change through {recipe}", min(times))
            # One that the machine was busy in does not matter; each would be late.
            self.assertLess(min(times), 0.1)

        self.each(check)

    def test_a_quiet_stream_outlives_the_proxys_idle_limit_twice(self):
        # All at once: it is the longest of these tests.
        waiting = []
        for recipe in RECIPES:
            server, there = self.through(recipe)
            waiting.append((recipe, server, self.visit(there, kind=Through)))
        beats = 2 * IDLE_LIMIT / KEEP_ALIVE + 1
        for recipe, server, visitor in waiting:
            with self.subTest(recipe=str(recipe)):
                visitor.wait("heartbeats", lambda v: len(v.history) > beats, 4 * IDLE_LIMIT)
                self.assertEqual(set(visitor.history), {1})
                self.visit(server)
                visitor.sees(2, within=1)

    def test_the_stop_reaches_the_visitor_as_a_good_end(self):
        def check(recipe):
            server, there = self.through(recipe)
            visitor = self.visit(there, kind=Through)
            server.signal(signal.SIGTERM)
            visitor.is_ended(within=2)
            last = visitor.events[-1]
            self.assertEqual((last.number, bool(last.retry)), (None, True))
            self.assertEqual(server.wait(2), 0)

        self.each(check)

    def test_who_is_behind_a_trusted_proxy_has_a_limit_of_their_own(self):
        def check(recipe):
            limit = ["--max-streams-per-ip", "1"]
            _, there = self.through(recipe, *limit, "--trusted-proxy", "127.0.0.1/32")
            self.visit(there, kind=Through, source="127.0.0.2")
            self.visit(there, kind=Through, source="127.0.0.3")
            answer = there.ask("/events", "x-forwarded-for: 192.0.2.1", source="127.0.0.2")
            self.assertEqual(answer.status, 429)
            self.assertTrue(answer.error)

        self.each(check)

    def test_behind_a_proxy_that_nobody_trusts_all_are_one_client(self):
        def check(recipe):
            _, there = self.through(recipe, "--max-streams-per-ip", "1")
            self.visit(there, kind=Through, source="127.0.0.2")
            self.assertEqual(there.ask("/events", source="127.0.0.3").status, 429)

        self.each(check)

    def test_the_sites_own_origin_is_known_through_the_proxy(self):
        def check(recipe):
            server, there = self.through(recipe)
            scheme = "https" if recipe.is_tls else "http"
            own = f"origin: {scheme}://count.example.org"
            self.assertEqual(there.ask("/count", own).status, 200)
            answer = there.ask("/events", "origin: https://other.example.org")
            self.assertEqual((answer.status, server.count()), (403, 0))

        self.each(check)

    def test_seven_tabs_over_http_2_are_seven_streams_of_one_connection(self):
        def check(recipe):
            server, there = self.through(recipe)
            observer = self.visit(server)
            with contextlib.closing(there.http2()) as browser:
                tabs = [Tab(browser) for _ in range(TABS)]
                for tab in tabs:
                    tab.sees(TABS + 1, within=1)
                observer.sees(TABS + 1)
                # Others get through beside them.
                self.assertEqual(browser.get("/count").status, 200)
                tabs.pop().close()
                measured(f"a tab closed through {recipe}", observer.sees(TABS, within=1))
                for tab in tabs:
                    tab.sees(TABS, within=1)
            measured(f"all tabs closed through {recipe}", observer.sees(1, within=1))

        self.each(check, [recipe for recipe in RECIPES if recipe.is_tls])


if __name__ == "__main__":
    unittest.main()
