"""What a join and a delivery cost: instructions, which callgrind counts. They are
nearly the same on every machine, busy or not, and no time is: so a change that
makes either markedly dearer fails here, and the bench need not be asked.

One server sees nearly nothing, one sees visits, and one as many visits among a
crowd. What the three differ in is what a visit and a delivery cost.
"""

import pathlib
import re
import signal
import tempfile
import unittest

from support import FaultTest
from visitor import Visitor
from waiting import DEADLINE, counted, eventually

#: How often somebody comes and goes, those of the crowd among them.
VISITS = 120
#: It is a small crowd, in which each change is told at once (`src/pace.rs`).
CROWD = 60

#: The allocator tidies its caches now and then, which may cost more or less than what
#: is to be counted here: not this time.
TIDY_NEVER = f"tcache_gc_incr_bytes:{1 << 40}"

#: What each cost in instructions when this was last renewed, and how much dearer it
#: may become. The figures are those of the debug build, which is what `make test`
#: has; another rustc, or another version of tokio or hyper, moves them a little. A
#: change that is worth more is to renew them, either way, and to say why:
#:
#:     MEASURE=1 target/venv/bin/python tests/faults/test_cost.py
JOIN = 536_000
DELIVERY = 2_360
ALLOWANCE = 1.25


class Accepted(Visitor):
    """One who asks only once the server has accepted the connection and rests: to
    find the request with the connection, as by chance it may, is cheaper."""

    def __init__(self, server, *args, **options):
        self._rests = lambda: rests(server, 1 + descriptors)
        descriptors = server.fds()
        super().__init__(server, *args, **options)

    def send(self, data):
        self._rests()
        super().send(data)


def rests(server, descriptors):
    """Waits until a server has so many descriptors, and nothing left to do."""
    stat = pathlib.Path(f"/proc/{server.pid}/stat")
    eventually(
        "the number of its descriptors, and its state",
        lambda: (server.fds(), stat.read_text().rpartition(")")[2].split()[0]),
        (descriptors, "S"),
    )


class Cost(FaultTest):
    def run_of(self, crowd, visits):
        """The instructions of a server where so many come and stay, while others come
        and go, until there were so many visits; and how often anybody was told of
        anybody else's."""
        with tempfile.TemporaryDirectory() as directory:
            out = pathlib.Path(directory, "callgrind.out")
            server = self.server(
                # One thread, or who is told by which would be left to chance; and
                # nothing is told but changes.
                "--threads", 1, "--keep-alive", "1h", quiet=True,
                env={"_RJEM_MALLOC_CONF": TIDY_NEVER},
                under=["valgrind", "--quiet", "--tool=callgrind", f"--callgrind-out-file={out}"],
            )
            people, deliveries, descriptors = [], 0, server.fds()

            def all_are_told(others):
                # So no two changes are told together, nor any two things done.
                nonlocal deliveries
                for person in others:
                    person.sees(len(people))
                deliveries += len(others)
                rests(server, descriptors + len(people))

            def come():
                people.append(self.visit(server, kind=Accepted))
                all_are_told(people[:-1])

            def go():
                people.pop().close()
                all_are_told(people)

            for _ in range(crowd):
                come()
            for _ in range(visits - crowd):
                come()
                go()
            while people:
                go()
            server.signal(signal.SIGTERM)
            self.assertEqual(server.wait(2 * DEADLINE), 0)
            instructions = int(re.search(r"^totals: (\d+)$", out.read_text(), re.M)[1])
        return instructions, deliveries

    def test_a_join_and_a_delivery_cost_no_more_than_they_did(self):
        start, _ = self.run_of(crowd=1, visits=1)
        alone, few = self.run_of(crowd=1, visits=VISITS)
        crowded, many = self.run_of(crowd=CROWD, visits=VISITS)
        costs = {
            # Of each the one who stays is told twice; that much is part of it.
            "a join, with its leave": ((alone - start) / (VISITS - 1), JOIN),
            "a delivery": ((crowded - alone) / (many - few), DELIVERY),
        }
        for what, (cost, was) in costs.items():
            with self.subTest(what):
                counted(f"instructions of {what}", cost)
                limit = was * ALLOWANCE
                if cost > limit:
                    self.fail(
                        f"{what} costs {cost:,.0f} instructions; it may cost {limit:,.0f},"
                        f" and cost {was:,} when that was set"
                    )


if __name__ == "__main__":
    unittest.main()
