"""Heartbeats, from both ends. Whatever happens in its room, each stream is told something
within K (`--keep-alive`); and no outage shorter than U (`--user-timeout`) costs anybody
their seat, nor does a reader that stops.
"""

import itertools
import json
import pathlib
import subprocess
import sys
import time
import unittest

import test_cable
from links import Http2, Tab, query
from support import FaultTest, end
from visitor import H2Visitor, Visitor
from waiting import DEADLINE, counted, eventually, measured

LISTENERS = pathlib.Path(__file__).with_name("listeners.py")

ROOM = "crowd"


def allowed(keep_alive):
    """How long a stream may be silent, on a busy machine too."""
    return 1.25 * keep_alive + 1


class Listeners:
    """Processes that hold streams of one room, and say what they hear."""

    def __init__(self, test, server, streams, processes=1):
        self.streams = streams
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

    def heard(self):
        """What they all heard since they were asked last."""
        for process in self._processes:
            process.stdin.write("\n")
            process.stdin.flush()
        said = [json.loads(process.stdout.readline()) for process in self._processes]
        return {
            "streams": sum(one["streams"] for one in said),
            "heard": sum(one["heard"] for one in said),
            "silence": max(one["silence"] for one in said),
            "together": max(one["together"] for one in said),
            "newest": {int(number) for one in said for number in one["newest"]},
        }


def visit_often(server, rate, seconds, meanwhile=lambda: None):
    """One rude client, which comes and goes so often."""
    start = time.monotonic()
    for nth in itertools.count():
        due = start + nth / rate
        while (now := time.monotonic()) < due:
            meanwhile()
            time.sleep(min(0.001, due - now))
        if now > start + seconds:
            return counted(f"visits at {rate} a second", nth)
        Visitor(server, ROOM).close()


class Crowd(FaultTest):
    def test_a_rude_visitor_mutes_nobody_in_a_large_crowd(self):
        keep_alive, crowd = 3, 15_000
        server = self.server(
            "--keep-alive", f"{keep_alive}s", "--user-timeout", "4s", quiet=True
        )
        start = time.monotonic()
        listeners = Listeners(self, server, crowd, processes=2)
        measured(f"{crowd} listeners come", time.monotonic() - start)
        listeners.heard()
        for rate in (10, 200):
            with self.subTest(visits_a_second=rate):
                visit_often(server, rate, 3.5 * keep_alive)
                heard = listeners.heard()
                measured(f"longest silence among {crowd}, {rate} visits/s", heard["silence"])
                self.assertEqual(heard["streams"], crowd, "nobody has left")
                self.assertLess(heard["silence"], allowed(keep_alive))
        eventually("the count", lambda: server.count(ROOM), crowd)
        eventually("what each was told last", lambda: listeners.heard()["newest"], {crowd})


if __name__ == "__main__":
    unittest.main()
