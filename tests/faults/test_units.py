"""The units of systemd, as far as systemd can judge them where it doesn't run. What they do
where it does is tried by `make test-deb`.
"""

import pathlib
import re
import subprocess
import tempfile
import unittest

from server import BINARY, ROOT
from waiting import DEADLINE

UNITS = ROOT / "packaging" / "systemd"

#: The exposure that `systemd-analyze security` may find, from 0 (none) to 10. It is in
#: docs/operating.md.
EXPOSURE = 1.1


class Units(unittest.TestCase):
    def analyze(self, *args):
        return subprocess.run(
            ["systemd-analyze", *map(str, args)], capture_output=True, text=True, timeout=DEADLINE
        )

    def test_systemd_finds_nothing_wrong_with_the_units(self):
        with tempfile.TemporaryDirectory() as directory:
            copies = [pathlib.Path(directory, unit.name) for unit in sorted(UNITS.iterdir())]
            for copy in copies:
                text = (UNITS / copy.name).read_text()
                # Where it is not installed.
                copy.write_text(text.replace("/usr/bin/headcount", BINARY))
            self.assertEqual(len(copies), 2)
            verified = self.analyze("verify", "--man=no", *copies)
        self.assertEqual((verified.stderr, verified.returncode), ("", 0))

    def test_the_service_is_exposed_no_more_than_the_docs_say(self):
        judged = self.analyze("security", "--offline=true", "--no-pager", UNITS / "headcount.service")
        found = re.search(r"Overall exposure level for headcount.service: (\d+\.\d)", judged.stdout)
        self.assertLessEqual(float(found[1]), EXPOSURE, judged.stdout)
        docs = (ROOT / "docs" / "operating.md").read_text()
        self.assertIn(f"exposure level of {found[1]}", docs)


if __name__ == "__main__":
    unittest.main()
