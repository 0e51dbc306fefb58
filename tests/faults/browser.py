"""Real browsers, sent to a page of somebody's site by their command line alone: what
they did is heard from the page and the server.
"""

import functools
import http.server
import json
import os
import pathlib
import shutil
import subprocess
import tempfile
import threading

from support import FaultTest


class Site:
    """Somebody's site, on a port of its own; `said` is what its page has told it."""

    def __init__(self, test):
        self.page = ""
        self.said = []
        site = self

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_GET(self):
                if self.path.startswith("/said/"):
                    site.said.append(self.path.removeprefix("/said/"))
                self.send_response(200)
                self.send_header("content-type", "text/html")
                self.end_headers()
                self.wfile.write(site.page.encode() if self.path == "/" else b"")

            def log_message(self, *_):
                pass

        self._server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.port = self._server.server_address[1]
        threading.Thread(target=self._server.serve_forever, daemon=True).start()
        test.addCleanup(self._server.server_close)
        test.addCleanup(self._server.shutdown)


def chromium(profile, address):
    return [
        os.environ.get("CHROMIUM") or "/usr/bin/chromium",
        *("--headless", "--no-sandbox", "--disable-gpu", "--no-first-run"),
        *("--disable-background-networking", "--disable-component-update", "--disable-sync"),
        *("--disable-popup-blocking", "--autoplay-policy=no-user-gesture-required"),
        *("--host-resolver-rules=MAP *.test 127.0.0.1", f"--user-data-dir={profile}"),
        # Without it the browser loads a page and ends.
        "--remote-debugging-port=0",
        address,
    ]


def firefox(profile, address):
    preferences = {
        "network.dns.localDomains": "count.test,evil.test,friend.test",
        "dom.disable_open_during_load": False,
        "media.autoplay.default": 0,
        "browser.shell.checkDefaultBrowser": False,
        "datareporting.policy.dataSubmissionEnabled": False,
        "browser.aboutwelcome.enabled": False,
        "network.captive-portal-service.enabled": False,
        "network.connectivity-service.enabled": False,
    }
    lines = [f"user_pref({json.dumps(n)}, {json.dumps(v)});" for n, v in preferences.items()]
    pathlib.Path(profile, "user.js").write_text("\n".join(lines))
    program = os.environ.get("FIREFOX") or "/usr/bin/firefox-esr"
    return [program, "--headless", "--no-remote", "--profile", profile, address]


BROWSERS = (chromium, firefox)


class BrowserTest(FaultTest):
    """A test whose browsers end with it."""

    def browse(self, browser, address):
        profile = tempfile.mkdtemp()
        self.addCleanup(functools.partial(shutil.rmtree, profile, ignore_errors=True))
        process = subprocess.Popen(
            browser(profile, address),
            env={name: value for name, value in os.environ.items() if name != "DISPLAY"},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )
        self.child(process)
        self.addCleanup(process.wait, 10)
        self.addCleanup(process.terminate)
