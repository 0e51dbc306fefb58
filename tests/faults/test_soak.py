"""A minute of the soak (soak.py; `make soak` takes ten): whatever mixed clients do, at
every quiet point the server's number is that of the soak's own list, and so is the last
event of every live stream.
"""

import random
import unittest

from soak import CONFIGURATIONS, run
from waiting import counted

SECONDS = 60  # in all
#: How much has to have been done for it to be worth anything, on any machine.
DEEDS = 300


class Agreement(unittest.TestCase):
    """Each of these is one configuration's quarter of the minute."""

    def soak(self, name):
        configuration = next(one for one in CONFIGURATIONS if one.name == name)
        did = run(configuration, SECONDS / len(CONFIGURATIONS), random.randrange(1 << 32))
        points = did.pop("quiet points")
        counted(f"soak, {name}: deeds between {points} quiet points", did.total())
        self.assertGreater(did.total(), DEEDS)

    def test_mixed_clients_are_counted_and_told_as_they_come_and_go(self):
        self.soak("plain")

    def test_so_they_are_over_tls(self):
        self.soak("tls")

    def test_so_they_are_with_streams_that_get_too_old_and_clients_that_return(self):
        self.soak("max-age")

    def test_so_they_are_behind_haproxy(self):
        self.soak("haproxy")


if __name__ == "__main__":
    unittest.main()
