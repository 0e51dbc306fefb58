"""/metrics: text that Prometheus reads, and numbers that tell what the test did."""

import subprocess
import tempfile
import unittest

import raw
from http2 import Http2
from prometheus_client.parser import text_string_to_metric_families
from redis import Redis
from support import FaultTest
from waiting import DEADLINE, eventually

GAUGES = {"headcount_streams", "headcount_rooms"}
COUNTERS = {
    "headcount_joins",
    "headcount_ends",
    "headcount_refusals",
    "headcount_changes",
    "headcount_events_published",
    "headcount_events_merged",
    "headcount_deliveries",
    "headcount_lagged",
}
OF_THE_PROCESS = {"process_resident_memory_bytes", "process_open_fds", "process_max_fds"}
REASONS = {"client_closed", "reset", "timed_out", "replaced", "aged_out", "shutdown", "error"}


class Metrics(FaultTest):
    def families(self, server):
        text = server.get("/metrics").body.decode()
        self.assertTrue(text.endswith("\n"))
        families = list(text_string_to_metric_families(text))
        names = [family.name for family in families]
        self.assertEqual(len(names), len(set(names)), "each family stands once")
        return {family.name: family for family in families}

    def test_it_is_valid_complete_and_explained(self):
        server = self.server()
        answer = server.get("/metrics")
        media, *parameters = answer.headers["content-type"].split("; ")
        self.assertEqual(media, "text/plain")
        self.assertIn("version=0.0.4", parameters)
        families = self.families(server)
        self.assertLessEqual(GAUGES | COUNTERS | OF_THE_PROCESS, families.keys())
        for name in GAUGES | COUNTERS:
            with self.subTest(name):
                self.assertEqual(families[name].type, "gauge" if name in GAUGES else "counter")
                self.assertTrue(families[name].documentation)
        ends = families["headcount_ends"].samples
        # From the start, or the first of a kind is no increase to Prometheus.
        self.assertEqual({sample.labels["reason"] for sample in ends}, REASONS)
        self.assertTrue(families["headcount_refusals"].samples)

    def test_its_names_and_types_are_as_prometheus_wants_them(self):
        redis = Redis(self)
        directory = self.enterContext(tempfile.TemporaryDirectory())
        history = f"{directory}/history.db"
        for args in ((), ("--redis", redis.url), ("--history", history)):
            with self.subTest(args):
                text = self.server(*args).get("/metrics").body
                # It says what is wrong, and exits with 1 or 3.
                check = subprocess.run(
                    ["promtool", "check", "metrics"], input=text, capture_output=True,
                    timeout=DEADLINE,
                )
                self.assertEqual((check.returncode, check.stderr.decode()), (0, ""))

    def test_it_names_the_version_that_runs(self):
        server = self.server()
        version = subprocess.check_output([server.process.args[0], "--version"], text=True)
        name = f'headcount_build_info{{version="{version.split()[1]}"}}'
        self.assertEqual(server.metrics()[name], 1)

    def test_it_tells_what_happened_and_no_rooms_name(self):
        server = self.server("--max-rooms", 3)
        for room in ("a secret room", "another"):
            self.visit(server, room)
        self.visit(server, "another")
        closed, reset = self.visit(server, "third"), self.visit(server, "third")
        self.assertEqual(raw.ask(server.address, raw.request("/events?room=4th")).status, 503)
        self.assertEqual(server.get("/events", "POST").status, 405)
        self.assertEqual(server.get("/events?room=").status, 400)
        with Http2(server.address) as client:
            client.reset(client.join("/events?room=another"))
            eventually("another", lambda: server.count("another"), 2)
        closed.sees(2)
        closed.close()
        reset.sees(1)
        reset.reset()
        eventually("third", lambda: server.count("third"), 0)

        text = server.get("/metrics").body.decode()
        for word in ("secret", "another", "third", "4th"):
            self.assertNotIn(word, text)
        seen = {
            (sample.name, *sample.labels.values()): sample.value
            for family in self.families(server).values()
            for sample in family.samples
        }
        ends = {reason: seen["headcount_ends_total", reason] for reason in REASONS}
        refusals = {name[1]: n for name, n in seen.items() if name[0] == "headcount_refusals_total"}
        self.assertEqual(seen["headcount_streams",], 3)
        self.assertEqual(seen["headcount_rooms",], 2)
        self.assertEqual(seen["headcount_joins_total",], 6)
        self.assertEqual({r: n for r, n in ends.items() if n}, {"client_closed": 2, "reset": 1})
        self.assertEqual(sorted(n for n in refusals.values() if n), [1, 1, 1])
        self.assertEqual(seen["headcount_changes_total",], 9)
        published = seen["headcount_events_published_total",]
        self.assertEqual(published + seen["headcount_events_merged_total",], 9)
        self.assertGreaterEqual(seen["headcount_deliveries_total",], 6)
        self.assertLess(abs(seen["process_open_fds",] - server.fds()), 5)
        self.assertLess(abs(seen["process_resident_memory_bytes",] / server.rss() - 1), 0.2)


if __name__ == "__main__":
    unittest.main()
