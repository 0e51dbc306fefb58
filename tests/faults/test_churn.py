"""Ten minutes' coming and going compressed into one, by every means at once; and at
the end nobody is left, and nothing of them: no room, no descriptor, no memory.
"""

import collections
import json
import pathlib
import subprocess
import sys
import time

from support import FaultTest
from waiting import DEADLINE, eventually, measured

#: What the visitors are: processes of their own.
CROWD = pathlib.Path(__file__).with_name("crowd.py")
CROWDS = 2

#: How often somebody comes and goes. It may take so many seconds; on a slow
#: machine it ends then, but the test wants a minimum.
VISITS, SECONDS, AT_LEAST = 100_000, 50, 10_000
#: So many come before, by the same means, and after them the memory is as large
#: as it shall be.
WARM_UP = 20_000

#: So many processes are killed meanwhile, each with so many streams.
KILLED, HELD = 6, 1_000

GROWTH = 8 * 1024 * 1024


class Churn(FaultTest):
    def setUp(self):
        super().setUp()
        self.started = self.server(quiet=True)
        self.descriptors = self.started.fds()

    def crowd(self, nth, what, *numbers):
        """A process with an address of its own, so that the ports suffice."""
        command = [sys.executable, CROWD, what, *self.started.address, f"127.0.1.{nth}", *numbers]
        return self.child(subprocess.Popen(map(str, command), stdout=subprocess.PIPE, text=True))

    def come_and_go(self, visits, killed=0):
        """How often who came and went did so by which means."""
        started = time.monotonic()
        crowds = [self.crowd(nth, "churn", visits // CROWDS, SECONDS) for nth in range(CROWDS)]
        for nth in range(killed):
            # Killed as soon as it has all of its streams, and then the next.
            holder = self.crowd(CROWDS + nth, "hold", HELD)
            self.assertEqual(holder.stdout.readline(), f"{HELD}\n")
            holder.kill()
        did = collections.Counter(killed=killed * HELD)
        for crowd in crowds:
            said, _ = crowd.communicate(timeout=SECONDS + DEADLINE)
            self.assertEqual(crowd.returncode, 0, "a crowd was not treated as it should be")
            did.update(json.loads(said))
        measured(f"{did.total()} visits", time.monotonic() - started)
        return did

    def nobody_is_left(self):
        eventually(
            "what is left",
            lambda: {
                name: value for name, value in self.started.metrics().items()
                if name in ("headcount_streams", "headcount_rooms")
            },
            {"headcount_streams": 0, "headcount_rooms": 0},
        )
        eventually("the number of its descriptors", self.started.fds, self.descriptors)

    def test_after_any_coming_and_going_nobody_and_nothing_is_left(self):
        did = self.come_and_go(WARM_UP, KILLED)
        self.nobody_is_left()
        memory = self.started.rss()

        did += self.come_and_go(VISITS, KILLED)
        self.assertGreaterEqual(did.total(), AT_LEAST)
        self.nobody_is_left()
        self.assertLess(self.started.rss() - memory, GROWTH)
        for crowd in range(CROWDS + KILLED):
            self.assertEqual(self.started.count(f"127.0.1.{crowd}-0"), 0)
        self.adds_up(did)

    def adds_up(self, did):
        """What the server has counted is what the crowds did. Who left in the same
        breath was counted, and uncounted, or not."""
        metrics = self.started.metrics()
        told = did.total() - did["refused"] - did["same_breath"] + did["take_over"]
        joins = metrics["headcount_joins_total"]
        self.assertTrue(told <= joins <= told + did["same_breath"], (told, joins))
        self.assertEqual(self.sum(metrics, "headcount_ends_total"), joins)
        self.assertEqual(metrics['headcount_ends_total{reason="replaced"}'], did["take_over"])
        self.assertEqual(metrics["headcount_changes_total"], 2 * (joins - did["take_over"]))
        self.assertEqual(self.sum(metrics, "headcount_refusals_total"), did["refused"])

    def sum(self, metrics, family):
        return sum(value for name, value in metrics.items() if name.startswith(family))
