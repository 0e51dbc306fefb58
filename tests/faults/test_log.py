"""The log: nobody can fill a disk with it, nor write in it what isn't so."""

import datetime
import itertools
import signal
import time
import unittest
from urllib.parse import quote

import raw
from http2 import Http2
from support import FaultTest
from waiting import DEADLINE, eventually

#: So often a client comes and goes, so many streams at a time.
VISITS, TOGETHER = 5_000, 100
#: So often a stream is refused.
REFUSALS = 1_000
#: So many lines there are in a second, beside the one that sums up the others.
LINES = 200

#: Names of rooms, and how they stand in the log.
NAMES = {
    "lobby \"1\"": "lobby \"1\"",
    "\u202elobby\u2069": "<U+202E>lobby<U+2069>",
    "lob\u200bby": "lob<U+200B>by",
    "Крамниця": "Крамниця",
    "広場 🐎": "広場 🐎",
    "नमस्ते": "नमस्ते",
    "é" * 64: "é" * 64,
    "a" * 128: "a" * 64 + "…",
}


class Log(FaultTest):
    def come_and_go(self, server, visits):
        """On one connection, as fast as may be. Each has been told a number."""
        with Http2(server.address) as client:
            for first in range(0, visits, TOGETHER):
                streams = [
                    # In rooms of their own: otherwise each is told of all the others.
                    client.ask(f"/events?room={first + nth}", flush=False)
                    for nth in range(TOGETHER)
                ]
                client.flush()
                client.until(lambda: all(stream.body for stream in streams), "their numbers")
                for stream in streams:
                    client.reset(stream, flush=False)
                client.flush()
            self.assertIsNone(client.goaway)

    def test_who_comes_and_goes_without_a_pause_is_summed_up_and_fills_no_disk(self):
        server = self.server("--max-streams-per-ip", VISITS)
        start = time.monotonic()
        self.come_and_go(server, VISITS)
        self.assertLess(time.monotonic() - start, VISITS / LINES, "too slow to show anything")
        # Nobody comes or goes any more, and what is left is summed up all the same.
        visits = eventually(
            "what the log says", server.visits, {"connected": VISITS, "client closed": VISITS}
        )
        metrics = server.metrics()
        self.assertEqual(metrics["headcount_joins_total"], visits["connected"])
        self.assertEqual(
            metrics['headcount_ends_total{reason="client_closed"}'], visits["client closed"]
        )

        times = [
            datetime.datetime.fromisoformat(line["timestamp"])
            for message in ("user connected", "user disconnected")
            for line in server.logged(message)
        ]
        # A second of the server's begins anywhere within one of ours, so this takes two
        # of them; and what has been decided to be written may be written late.
        for line, later in itertools.pairwise(sorted(times)[:: 2 * LINES]):
            self.assertGreater(later - line, datetime.timedelta(seconds=0.5))
        sums = server.logged("more users came and went")
        self.assertLessEqual(len(sums), len(times) / LINES)

    def test_who_came_and_went_in_the_last_second_is_summed_up_before_the_end(self):
        server = self.server("--max-streams-per-ip", VISITS)
        self.come_and_go(server, 3 * LINES)
        eventually("the number of streams", lambda: server.metrics()["headcount_streams"], 0)
        server.signal(signal.SIGTERM)
        self.assertEqual(server.wait(DEADLINE), 0)
        server.stop()
        visits = 3 * LINES
        self.assertEqual(server.visits(), {"connected": visits, "client closed": visits})

    def test_who_does_not_want_to_read_of_visitors_reads_of_the_rest(self):
        server = self.server(quiet=True)
        self.come_and_go(server, 3 * LINES)
        eventually("the number of streams", lambda: server.metrics()["headcount_streams"], 0)
        server.signal(signal.SIGTERM)
        self.assertEqual(server.wait(DEADLINE), 0)
        server.stop()
        self.assertEqual(server.visits(), {})
        self.assertEqual(len(server.logged("stopped")), 1)

    def test_the_name_of_a_room_is_what_it_looks_like_in_both_forms_of_the_log(self):
        for log_format in ("json", "text"):
            server = self.server(log_format=log_format)
            for name, shown in NAMES.items():
                with self.subTest(log_format, name=name):
                    self.visit(server, name).close()
                    if log_format == "json":
                        probe = lambda: server.logged("user connected", room=shown)
                    else:
                        quoted = shown.replace('"', '\\"')
                        line = f'user connected room="{quoted}" count=1'
                        probe = lambda: [said for said in server.lines if said.endswith(line)]
                    eventually(f"the log of {quote(name)}", probe, lambda lines: len(lines) == 1)

    def test_who_is_refused_without_a_pause_fills_no_disk_and_the_log_says_what_would_help(self):
        server = self.server("--max-rooms", 1)
        self.visit(server, "taken")
        for first in range(0, REFUSALS, TOGETHER):
            # A connection has so many streams before it must show that it is a client.
            with Http2(server.address) as client:
                streams = [
                    client.ask(f"/events?room={first + nth}", flush=False)
                    for nth in range(TOGETHER)
                ]
                client.flush()
                client.until(lambda: all(stream.ended for stream in streams), "their ends")
        foreign = raw.request("/events", "origin: https://$(reboot).example")
        for _ in range(3):
            self.assertEqual(raw.ask(server.address, foreign).status, 403)
        said = lambda reason: server.logged("a stream was refused", reason=reason)
        eventually("the log", lambda: [len(said("max_rooms")), len(said("origin"))], [1, 1])
        self.assertIn("--max-rooms", said("max_rooms")[0]["help"])
        [origin] = said("origin")
        self.assertEqual(origin["origin"], "https://$(reboot).example")
        self.assertIn("name it with --allow-origin;", origin["help"])
        self.assertEqual(server.logged("more streams were refused"), [])
        refused = server.metrics()['headcount_refusals_total{reason="max_rooms"}']
        self.assertEqual(refused, REFUSALS)

        # The minute is not over, but the server is.
        server.signal(signal.SIGTERM)
        self.assertEqual(server.wait(DEADLINE), 0)
        server.stop()
        sums = {line["reason"]: line["number"] for line in server.logged("more streams were refused")}
        self.assertEqual(sums, {"max_rooms": REFUSALS - 1, "origin": 2})

    def test_an_origin_is_what_it_looks_like_in_both_forms_of_the_log(self):
        hostile = 'https://a"b\\u202e.example\xe2\x80\xae' + "c" * 5_000
        shown = 'https://a"b\\u202e.example<U+202E>' + "c" * 38 + "…"
        for log_format in ("json", "text"):
            with self.subTest(log_format):
                server = self.server(log_format=log_format)
                answer = raw.ask(server.address, raw.request("/events", f"origin: {hostile}"))
                self.assertEqual(answer.status, 403)
                if log_format == "json":
                    probe = lambda: server.logged("a stream was refused", origin=shown)
                else:
                    quoted = shown.replace("\\", "\\\\").replace('"', '\\"')
                    line = f'a stream was refused reason="origin" origin="{quoted}" help="'
                    probe = lambda: [said for said in server.lines if line in said]
                eventually("the log of the origin", probe, lambda lines: len(lines) == 1)


if __name__ == "__main__":
    unittest.main()
