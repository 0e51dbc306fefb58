"""The rules and alerts for Prometheus and the dashboard for Grafana: promtool understands them,
the alerts fire when they should, and what they ask for is what a server has.
"""

import json
import pathlib
import re
import subprocess
import tempfile

from redis import Redis
from server import ROOT
from support import FaultTest
from waiting import DEADLINE

PROMETHEUS = ROOT / "packaging" / "prometheus"
RULES = PROMETHEUS / "headcount.rules.yml"
TRIED = PROMETHEUS / "headcount.test.yml"
BOARD = ROOT / "packaging" / "grafana" / "headcount.json"


class Monitoring(FaultTest):
    def promtool(self, *args):
        done = subprocess.run(
            ["promtool", *map(str, args)], capture_output=True, text=True, timeout=DEADLINE
        )
        self.assertEqual(done.returncode, 0, done.stdout + done.stderr)

    def test_the_alerts_fire_when_they_should_and_only_then(self):
        self.promtool("check", "rules", RULES)
        self.promtool("test", "rules", TRIED)
        alerts = re.findall(r"alert: (\w+)", RULES.read_text())
        untried = [name for name in alerts if f'{{alertname="{name}"}}' not in TRIED.read_text()]
        self.assertEqual(untried, [], "each fires in the test")

    def test_every_metric_that_is_asked_for_is_one_that_a_server_has(self):
        with tempfile.TemporaryDirectory() as directory:
            history = {"HEADCOUNT_HISTORY": str(pathlib.Path(directory) / "history")}
            server = self.server("--redis", Redis(self).url, env=history)
            samples = server.metrics()
        names = {sample.partition("{")[0] for sample in samples}
        reasons = set(re.findall(r'reason="(\w+)"', " ".join(samples)))
        for file in (RULES, TRIED, BOARD):
            with self.subTest(file.name):
                text = file.read_text()
                asked = set(re.findall(r"\b(?:headcount|process)_\w+", text))
                # The name that a rule gives to what it works out.
                asked -= set(re.findall(r"job:(headcount_\w+)", text))
                self.assertGreater(len(asked), 10)
                self.assertEqual(asked - names, set())
                for pattern in re.findall(r'reason[=!]~?\\?"([\w|.*]+)\\?"', text):
                    for one in pattern.split("|"):
                        matching = [it for it in reasons if re.fullmatch(one, it)]
                        self.assertTrue(matching, f"no reason is {one}")

    def test_the_dashboard_asks_what_prometheus_understands(self):
        board = json.loads(BOARD.read_text())
        panels = [panel for panel in board["panels"] if panel["type"] != "row"]
        asked = [target["expr"] for panel in panels for target in panel["targets"]]
        self.assertGreater(len(asked), 20)
        ids = [panel["id"] for panel in board["panels"]]
        self.assertEqual(len(ids), len(set(ids)))
        for expression in asked:
            self.assertIn('{job="$job", instance=~"$instance"', expression)
        # promtool reads expressions in rules alone. JSON is YAML.
        asked = [expression.replace("$__rate_interval", "5m") for expression in asked]
        rules = [{"record": f"a:a{n}", "expr": it} for n, it in enumerate(asked)]
        with tempfile.NamedTemporaryFile("w", suffix=".yml") as file:
            json.dump({"groups": [{"name": "board", "rules": rules}]}, file)
            file.flush()
            self.promtool("check", "rules", file.name)
