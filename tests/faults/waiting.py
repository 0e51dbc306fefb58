"""Waiting, which is always for a condition, with a deadline, and with a sentence for
when it passes; and measuring.
"""

import atexit
import os
import sys
import time

#: How long, in seconds, what takes no time by design may take on a busy machine.
DEADLINE = 20.0


def eventually(what, probe, expected, within=DEADLINE):
    """Waits until `probe()` gives `expected`, a value to equal or a predicate, and
    returns what it gave. `what` is the subject of the sentence said in failure."""
    fits = expected if callable(expected) else lambda seen: seen == expected
    until = time.monotonic() + within
    while True:
        seen = probe()
        if fits(seen):
            return seen
        if time.monotonic() > until:
            wanted = "as expected" if callable(expected) else repr(expected)
            raise AssertionError(f"{what} is not {wanted} within {within} s, but {seen!r}")
        time.sleep(0.005)


_measured, _counted = {}, {}


def measured(what, seconds):
    """Notes how long something took. If MEASURE is set, the longest of each is
    said at the end: the figures in docs/numbers.md come from there."""
    _measured[what] = max(seconds, _measured.get(what, 0.0))


def counted(what, number):
    """The same for what is counted instead."""
    _counted[what] = max(number, _counted.get(what, 0))


@atexit.register
def _say_what_was_measured():
    if os.environ.get("MEASURE"):
        for what, seconds in _measured.items():
            print(f"measured: {what}: {seconds * 1000:.1f} ms", file=sys.stderr)
        for what, number in _counted.items():
            print(f"counted: {what}: {number:,.0f}", file=sys.stderr)
