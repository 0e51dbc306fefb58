"""Runs every fault test, those that mostly wait beside the others, and says how long each
module took:

    target/venv/bin/python tests/faults/all.py
"""

import pathlib
import subprocess
import sys
import time
import unittest

HERE = pathlib.Path(__file__).parent

#: Modules whose tests wait for time to pass, and leave the processor alone.
WAITING = {
    "test_cable", "test_cluster", "test_dashboard", "test_history", "test_proxies", "test_restart",
}


#: Those whose crowds want the processor for themselves: when the waiting is over.
LAST = ["test_crowded", "test_heartbeat", "test_soak"]


def main():
    if sys.argv[1:]:
        return run(sys.argv[1] == "waiting")
    groups = [subprocess.Popen([sys.executable, __file__, it]) for it in ("waiting", "others")]
    # Each of them to its end, whatever became of the other.
    return any([group.wait() for group in groups])


def run(waiting):
    took, failed = {}, False
    names = sorted(path.stem for path in HERE.glob("test_*.py"))
    for name in sorted(names, key=LAST.__contains__):
        if (name in WAITING) == waiting:
            start = time.monotonic()
            suite = unittest.defaultTestLoader.loadTestsFromName(name)
            failed |= not unittest.TextTestRunner().run(suite).wasSuccessful()
            took[name] = time.monotonic() - start
    print(*(f"{name}: {seconds:.0f} s" for name, seconds in took.items()), sep="\n")
    return failed


if __name__ == "__main__":
    sys.exit(main())
