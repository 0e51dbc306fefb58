"""How many: streams in all, rooms, streams of one address, file descriptors.

At each limit whoever comes too many is told so and not counted, everybody who is
there stays, and a place that a leave frees can be had at once.
"""

import contextlib
import os
import pathlib
import re
import resource
import stat
import subprocess
import tempfile
import time
import unittest
from unittest import mock

import raw
from http2 import Http2
from server import BINARY
from support import FaultTest
from waiting import eventually, measured

EVENTS = raw.request("/events")
HOLD = raw.request("/events?hold=1")


def from_proxy(*lines, room="lobby"):
    """A request for a stream, with these lines of X-Forwarded-For."""
    headers = [f"x-forwarded-for: {line}" for line in lines]
    return raw.request(f"/events?room={room}", *headers)


class Limits(FaultTest):
    def assert_refused(self, status, answer):
        self.assertEqual(answer.status, status, answer)
        self.assertTrue(answer.error, answer)
        self.assertGreater(int(answer.headers["retry-after"]), 0)

    def test_the_stream_that_is_one_too_many_is_refused_and_a_leave_makes_place_at_once(self):
        server = self.server("--max-streams", 3)
        observer, other = self.visit(server), self.visit(server, "elsewhere")
        leaver = self.visit(server)
        observer.sees(2)
        for _ in range(20):
            self.assert_refused(503, raw.ask(server.address, EVENTS))
            self.assertEqual((server.count(), server.count("elsewhere")), (2, 1))
            # Whoever is told that somebody left finds the place free.
            leaver.close()
            observer.sees(1)
            leaver = self.visit(server)
            observer.sees(2)
        self.assertEqual(observer.history, [1, 2] + [1, 2] * 20)
        self.assertEqual(other.history, [1])

    def test_streams_over_http_2_have_the_same_limit(self):
        server = self.server("--max-streams", 3)
        self.visit(server)
        with Http2(server.address) as client:
            first, _second = client.join(), client.join()
            self.assert_refused(503, client.get("/events"))
            client.reset(first)
            eventually("the count", server.count, 2, within=1)
            client.join()
            self.assert_refused(503, raw.ask(server.address, EVENTS))
            self.assertEqual(server.count(), 3)

    def test_a_room_that_is_one_too_many_is_refused_until_another_is_empty(self):
        server = self.server("--max-rooms", 2)
        self.visit(server, "a")
        last_of_b = self.visit(server, "b")
        self.assert_refused(503, raw.ask(server.address, raw.request("/events?room=c")))
        self.assertEqual(self.visit(server, "a").newest, 2, "an open room takes more")
        self.assertEqual([server.count(room) for room in "abc"], [2, 1, 0])
        last_of_b.close()
        eventually("b", lambda: server.count("b"), 0, within=1)
        self.assertEqual(self.visit(server, "c").newest, 1)
        self.assert_refused(503, raw.ask(server.address, raw.request("/events?room=b")))

    def test_each_address_has_a_limit_of_its_own(self):
        server = self.server("--max-streams-per-ip", 2)
        first = self.visit(server, source="127.0.0.2")
        self.visit(server, source="127.0.0.2")
        self.assert_refused(429, raw.ask(server.address, EVENTS, source="127.0.0.2"))
        other = self.visit(server, source="127.0.0.3")
        self.assertEqual(other.newest, 3)
        first.close()
        other.sees(2)
        self.visit(server, source="127.0.0.2")
        self.assert_refused(429, raw.ask(server.address, EVENTS, source="127.0.0.2"))
        self.assertEqual(server.count(), 3)

    def test_all_connections_of_an_address_and_all_their_streams_are_one_client(self):
        server = self.server("--max-streams-per-ip", 2)
        with Http2(server.address) as client:
            first, _second = client.join(), client.join()
            self.assert_refused(429, client.get("/events"))
            self.assert_refused(429, raw.ask(server.address, EVENTS))
            client.reset(first)
            eventually("the count", server.count, 1, within=1)
            self.visit(server)
            self.assert_refused(429, client.get("/events"))

    def test_without_a_trusted_proxy_what_a_client_says_of_its_address_is_nothing(self):
        server = self.server("--max-streams-per-ip", 1, "--trusted-proxy", "127.0.0.9/32")
        self.visit(server, source="127.0.0.2", headers=["x-forwarded-for: 192.0.2.1"])
        for line in ("192.0.2.2", "127.0.0.9", "192.0.2.3, 127.0.0.9", ""):
            with self.subTest(line=line):
                answer = raw.ask(server.address, from_proxy(line), source="127.0.0.2")
                self.assert_refused(429, answer)
        # Nor did it take 192.0.2.1's place.
        self.visit(server, source="127.0.0.9", headers=["x-forwarded-for: 192.0.2.1"])

    def test_behind_a_trusted_proxy_the_rightmost_untrusted_address_is_the_client(self):
        trusted = ["--trusted-proxy", "127.0.0.8/31", "--trusted-proxy", "2001:db8:1::/48"]
        server = self.server("--max-streams-per-ip", 1, *trusted)
        for lines, client in [
            (["192.0.2.1"], "192.0.2.1"),
            (["203.0.113.9, 192.0.2.1"], "192.0.2.1"),
            (["203.0.113.9", "192.0.2.1"], "192.0.2.1"),
            (["192.0.2.1, 127.0.0.8"], "192.0.2.1"),
            (["192.0.2.1", "127.0.0.8,2001:db8:1::5"], "192.0.2.1"),
            (["junk, 192.0.2.1"], "192.0.2.1"),
            (["192.0.2.1:4711"], "192.0.2.1"),
            (["::ffff:192.0.2.1"], "192.0.2.1"),
            (["2001:db8:2::1"], "2001:db8:2::1"),
            (["2001:DB8:2:0::1"], "2001:db8:2::1"),
        ]:
            with self.subTest(lines=lines):
                # Whose place is taken is who it is.
                says = [f"x-forwarded-for: {client}"]
                holder = self.visit(server, source="127.0.0.8", headers=says)
                request = from_proxy(*lines)
                answer = raw.ask(server.address, request, source="127.0.0.9")
                self.assert_refused(429, answer)
                others = [f"x-forwarded-for: {lines[0]}, 198.51.100.1"]
                other = self.visit(server, source="127.0.0.9", headers=others)
                self.assertEqual(server.count(), 2)
                holder.close()
                other.sees(1)
                headers = [f"x-forwarded-for: {line}" for line in lines]
                self.visit(server, source="127.0.0.9", headers=headers).close()
                other.close()
                eventually("the count", server.count, 0, within=1)

    def test_a_seat_that_waits_keeps_its_place(self):
        server = self.server("--max-streams", 5)
        observer = self.visit(server)
        for _ in range(3):
            waiting = [self.visit(server, request=HOLD) for _ in range(4)]
            for visitor in waiting:
                visitor.close()
            eventually("its streams", self.gauge(server, "streams"), 1)
            self.assertEqual(self.gauge(server, "places")(), 5)
            self.assert_refused(503, raw.ask(server.address, EVENTS))
            self.assertEqual(server.count(), 5)
        back = [self.visit(server, request=HOLD) for _ in range(4)]
        self.assert_refused(503, raw.ask(server.address, HOLD))
        self.assertEqual(server.count(), 5)
        for visitor in back:
            visitor.close()
        observer.sees(1)
        self.visit(server)
        self.assertLessEqual(max(observer.history), 5)

    def test_the_seat_of_a_stream_that_got_too_old_keeps_its_place(self):
        server = self.server("--max-age", "1s", "--max-streams-per-ip", 1)
        old = self.visit(server)
        old.is_ended(within=2)
        self.assert_refused(429, raw.ask(server.address, EVENTS))
        back = self.visit(server, token=old.token)
        self.assertEqual(back.token, old.token)
        self.assertEqual(server.count(), 1)

    def test_who_returns_pays_for_the_place_on_the_address_they_come_from(self):
        server = self.server("--max-streams-per-ip", 1)
        old = self.visit(server, source="127.0.0.2")
        other = self.visit(server, source="127.0.0.3")
        other.sees(2)
        request = raw.request("/events", f"last-event-id: {old.token}")
        self.assert_refused(429, raw.ask(server.address, request, source="127.0.0.3"))
        back = self.visit(server, token=old.token, source="127.0.0.4")
        self.assertEqual((back.token, back.newest), (old.token, 2))
        old.is_ended(within=1)
        self.assert_refused(429, raw.ask(server.address, EVENTS, source="127.0.0.4"))
        again = self.visit(server, token=old.token, source="127.0.0.4")
        self.assertEqual(again.newest, 2, "on the same address it is the same place")
        self.visit(server, source="127.0.0.2").sees(3)
        self.assertEqual(server.count(), 3)

    def test_an_address_may_be_in_so_many_rooms_and_always_in_the_default_one(self):
        server = self.server(
            "--max-rooms-per-ip", 2, "--max-rooms", 3, "--trusted-proxy", "127.0.0.9/32",
        )

        def ask(room, source="127.0.0.2", *headers, query=""):
            request = raw.request(f"/events?room={room}{query}", *headers)
            return raw.ask(server.address, request, source)

        first = self.visit(server, "a", source="127.0.0.2")
        self.visit(server, "a", source="127.0.0.2")
        self.visit(server, request=raw.request("/events?room=b&observe=1"), source="127.0.0.2")
        self.assert_refused(429, ask("c"))
        self.assert_refused(429, ask("c", query="&observe=1"))
        self.visit(server, source="127.0.0.2")
        self.visit(server, "c", source="127.0.0.3")
        # All rooms are taken now, but for the one that nobody can take.
        self.assert_refused(503, ask("d", "127.0.0.4"))
        self.visit(server, source="127.0.0.4")
        # By a proxy come others' addresses.
        said = "x-forwarded-for: 127.0.0.2"
        self.assert_refused(429, ask("c", "127.0.0.9", said))
        self.assertEqual(ask("c", "127.0.0.9", "x-forwarded-for: 192.0.2.1").status, 200)
        first.close()
        self.assert_refused(429, ask("c"))
        metrics = server.metrics()
        self.assertEqual(metrics['headcount_refusals_total{reason="max_rooms_per_ip"}'], 4)

    def test_one_address_does_not_take_all_rooms_by_default(self):
        server = self.server(quiet=True)
        with contextlib.ExitStack() as stack:
            answers = []
            for connection in range(10):
                client = stack.enter_context(Http2(server.address))
                for nth in range(110):
                    room = f"/events?observe=1&room={connection}-{nth}"
                    answers.append(client.ask(room, flush=False))
                client.flush()
                client.until(lambda: all(a.status for a in client.answers.values()), "its answers")
            self.assertEqual([a.status for a in answers], [200] * 1000 + [429] * 100)
            self.assertEqual(server.metrics()["headcount_rooms"], 1000)
            self.visit(server)
            self.visit(server, "another", source="127.0.0.2")

    def gauge(self, server, name):
        return lambda: server.metrics()[f"headcount_{name}"]

    def test_a_wrong_limit_is_an_error_before_the_port_is_bound(self):
        for args in (
            ["--max-streams", "0"],
            ["--max-streams", "many"],
            ["--max-rooms", "0"],
            ["--max-streams-per-ip", "0"],
            ["--trusted-proxy", "10.0.0.0/33"],
            ["--trusted-proxy", "proxy.example.org"],
        ):
            with self.subTest(args=args):
                command = [BINARY, "--listen", "127.0.0.1:0", *args]
                ended = subprocess.run(command, capture_output=True, text=True, timeout=5)
                self.assertEqual((ended.returncode, ended.stdout), (2, ""))
                self.assertIn(f"invalid value '{args[1]}' for '{args[0]}", ended.stderr)
                self.assertNotIn("listening", ended.stderr)


class FileDescriptors(FaultTest):
    """The limits that the system sets: RLIMIT_NOFILE."""

    @contextlib.contextmanager
    def ulimit(self, *options):
        """What starts in it has these limits."""
        with tempfile.TemporaryDirectory() as directory:
            wrapper = pathlib.Path(directory, "headcount")
            wrapper.write_text(f"#!/bin/sh\nulimit {' '.join(options)}\nexec '{BINARY}' \"$@\"\n")
            wrapper.chmod(stat.S_IRWXU)
            with mock.patch("server.BINARY", str(wrapper)):
                yield

    def cpu(self, server):
        """The processor time that it has used, in seconds."""
        fields = pathlib.Path(f"/proc/{server.pid}/stat").read_text().rsplit(")", 1)[1].split()
        return sum(map(int, fields[11:13])) / os.sysconf("SC_CLK_TCK")

    def test_the_soft_limit_is_raised_and_the_log_says_how_many_streams_fit(self):
        _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
        with self.ulimit("-S", "-n", "64"):
            server = self.server()
        self.assertEqual(resource.prlimit(server.pid, resource.RLIMIT_NOFILE), (hard, hard))
        numbers = {int(number) for number in re.findall(r"\d+", "\n".join(server.lines))}
        fit = [number for number in numbers if hard * 0.9 <= number < hard]
        self.assertTrue(fit, server.lines)

    def test_a_hundred_clients_for_64_descriptors_do_no_harm(self):
        with self.ulimit("-n", "64"):
            server = self.server()
        self.starve(server)

    def test_a_limit_that_nobody_foresaw_does_no_harm(self):
        server = self.server()
        resource.prlimit(server.pid, resource.RLIMIT_NOFILE, (64, 64))
        self.starve(server)
        warnings = [line for line in server.lines if '"WARN"' in line or '"ERROR"' in line]
        self.assertEqual(len(warnings), 1, "it is to be logged once")

    def starve(self, server):
        """A hundred clients where there is place for fewer."""
        observer = self.visit(server)

        def count():
            observer.pump()
            return observer.newest

        def served():
            for visitor in clients:
                with contextlib.suppress(AssertionError):  # refused
                    visitor.pump()
            return sum(1 for visitor in clients if visitor.history)

        self.assertEqual(count(), 1)
        clients = [self.visit(server, ready=False) for _ in range(100)]
        eventually("its descriptors", server.fds, lambda fds: fds >= 60, within=5)
        # Whoever was accepted is being answered; none is counted who is not told.
        eventually("how many are served", served, lambda n: n > 20, within=5)
        eventually("those counted but not told", lambda: count() - 1 - served(), 0, within=5)
        self.assertLess(served(), 60)

        # Waiting is what is measured here.
        before = self.cpu(server)
        with contextlib.suppress(AssertionError):
            observer.wait("nothing", lambda _: False, within=1.5)
        used = self.cpu(server) - before
        measured("processor time of 1.5 s without descriptors", used)
        self.assertLess(used, 0.2, "it spins")
        self.assertEqual(count(), served() + 1)

        start = time.monotonic()
        for visitor in clients:
            visitor.close()
        observer.sees(1, within=2)
        newcomer = self.visit(server)
        recovered = time.monotonic() - start
        measured("recovery from starvation", recovered)
        self.assertLess(recovered, 2)
        # Those that were never accepted are, for a moment, and find nobody there.
        newcomer.sees(2, within=2)
        eventually("the count", server.count, 2, within=2)


if __name__ == "__main__":
    unittest.main()
