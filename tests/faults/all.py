"""Runs every fault test, those that mostly wait beside the others:

    target/venv/bin/python tests/faults/all.py
"""

import pathlib
import subprocess
import sys
import unittest

HERE = pathlib.Path(__file__).parent

#: Modules whose tests wait for leases and failovers, and leave the processor alone.
WAITING = {"test_cluster"}


def main():
    if sys.argv[1:]:
        return run(sys.argv[1] == "waiting")
    groups = [subprocess.Popen([sys.executable, __file__, it]) for it in ("waiting", "others")]
    # Each of them to its end, whatever became of the other.
    return any([group.wait() for group in groups])


def run(waiting):
    loader = unittest.TestLoader()
    names = sorted(path.stem for path in HERE.glob("test_*.py"))
    suite = loader.loadTestsFromNames([name for name in names if (name in WAITING) == waiting])
    return not unittest.TextTestRunner().run(suite).wasSuccessful()


if __name__ == "__main__":
    sys.exit(main())
