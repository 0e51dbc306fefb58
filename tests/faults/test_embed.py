"""The two lines that `headcount embed` prints: in real browsers, on another site."""

import base64
import hashlib
import re
import subprocess
import unittest

from browser import BROWSERS, BrowserTest, Site
from server import BINARY
from waiting import eventually

# What the page says of the script that stands in it.
REPORT = """<script>
  const script = document.querySelector('script[src]');
  for (const what of ['load', 'error']) script.addEventListener(what, () => fetch('/said/' + what));
</script>"""


def embed(server):
    """The lines, and the path and the hash that they pin."""
    command = [BINARY, "embed", "--origin", f"http://127.0.0.1:{server.port}", "--room", "a"]
    lines = subprocess.run(command, check=True, capture_output=True, text=True, timeout=10).stdout
    return lines, *re.search(r':\d+(/[^"]+)" integrity="([^"]+)"', lines).groups()


class Embed(BrowserTest):
    def test_the_script_is_what_its_hash_says(self):
        server = self.server()
        _, path, integrity = embed(server)
        body = server.get(path).body
        self.assertEqual(body, server.get("/client.js").body)
        digest = base64.b64encode(hashlib.sha384(body).digest()).decode()
        self.assertEqual(integrity, f"sha384-{digest}")
        self.assertEqual(path, f"/client-{hashlib.sha256(body).hexdigest()[:12]}.js")

    def test_browsers_run_it_on_another_site_and_no_other_in_its_place(self):
        for browser in BROWSERS:
            with self.subTest(browser=browser.__name__):
                server, site, other = self.server(), Site(self), Site(self)
                lines, _, integrity = embed(server)
                site.page = lines + REPORT
                self.browse(browser, f"http://localhost:{site.port}/")
                eventually("what the page says", lambda: site.said, ["load"], 60)
                other.page = lines.replace(integrity, "sha384-" + "A" * 64) + REPORT
                self.browse(browser, f"http://localhost:{other.port}/")
                eventually("what the page says", lambda: other.said, ["error"], 60)


if __name__ == "__main__":
    unittest.main()
