"""Real browsers on somebody else's page, which does all that a page can do to open a
stream here: nobody is told of any of it.

Over loopback a browser says with each request what it is for. Under a name it does
so over TLS alone, so the same is tried under names, over plain HTTP.
"""

import functools
import http.server
import os
import pathlib
import shutil
import subprocess
import tempfile
import threading
import unittest

from support import FaultTest
from waiting import eventually

#: How long the page tries, in milliseconds, once all of it is there.
TRIES = 1500

# All of these at {here}, a stream's address, from a page of another origin.
HOSTILE = """<!doctype html>
<meta charset="utf-8">
<link rel="icon" href="data:,">
<title>hostile</title>
<link rel="stylesheet" href="{here}">
<link rel="prefetch" href="{here}">
<link rel="preload" as="fetch" href="{here}" crossorigin>
<link rel="modulepreload" href="{here}">
<style>
  @import "{here}";
  @font-face {{ font-family: f; src: url("{here}") }}
  body {{ background: url("{here}"); font-family: f, serif }}
</style>
<img src="{here}"> <img src="{here}" crossorigin> <img src="{here}" srcset="{here} 2x">
<script src="{here}"></script> <script type="module" src="{here}"></script>
<iframe src="{here}"></iframe> <iframe src="{page}"></iframe>
<iframe sandbox="allow-scripts" src="{page}"></iframe>
<object data="{here}"></object> <embed src="{here}">
<video src="{here}" autoplay></video> <audio src="{here}" autoplay></audio>
<iframe name="target"></iframe>
<form method="get" action="{here}" target="target"></form>
<a ping="{here}" href="#">ping</a>
<script>
  const here = '{here}';
  const tries = [
    () => new EventSource(here),
    () => new EventSource(here, {{ withCredentials: true }}),
    () => fetch(here),
    () => fetch(here, {{ headers: {{ accept: 'text/event-stream' }} }}),
    () => fetch(here, {{ headers: {{ 'last-event-id': '0'.repeat(32) }} }}),
    () => fetch(here, {{ mode: 'no-cors' }}),
    () => fetch(here, {{ mode: 'no-cors', method: 'POST', body: 'x' }}),
    () => fetch(here, {{ mode: 'no-cors', credentials: 'include', cache: 'reload' }}),
    () => navigator.sendBeacon(here),
    () => document.querySelector('a').click(),
    () => document.querySelector('form').submit(),
    () => new WebSocket(here.replace('http', 'ws')),
    () => new Worker(here),
    () => open(here),
    () => {{ const frame = document.createElement('iframe');
            frame.sandbox = 'allow-scripts';
            frame.srcdoc = `<script>new EventSource('${{here}}')<\\/script>`;
            document.body.append(frame) }},
    {more}
  ];
  for (const attempt of tries) try {{ attempt()?.catch?.(() => 0) }} catch {{ }}
  const said = new Set();
  const say = what => said.has(what) || (said.add(what), fetch('/said/' + what));
  const own = new EventSource('{allowed}');
  own.addEventListener('user count', event => say('joined'));
  setTimeout(() => say('done'), {tries});
</script>
"""

# What only a browser's own word on the request gives away.
FORGED = "() => fetch(here, { mode: 'no-cors', headers: { accept: 'text/event-stream' } }),"


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
    written = [f"user_pref({name!r}, {str(value).lower()});" if not isinstance(value, str)
               else f"user_pref({name!r}, {value!r});" for name, value in preferences.items()]
    pathlib.Path(profile, "user.js").write_text("\n".join(written).replace("'", '"'))
    program = os.environ.get("FIREFOX") or "/usr/bin/firefox-esr"
    return [program, "--headless", "--no-remote", "--profile", profile, address]


class Hostile(FaultTest):
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

    def check(self, browser, host, evil, more):
        site, friend = Site(self), Site(self)
        friendly = f"http://{evil.replace('evil', 'friend')}:{friend.port}"
        server = self.server("--allow-origin", friendly)
        observer = self.visit(server, "room")
        here = f"http://{host}:{server.port}"
        stream = f"{here}/events?room=room"
        site.page = HOSTILE.format(
            here=stream, page=f"{here}/?room=room", allowed=stream, tries=TRIES, more=more
        )
        self.browse(browser, f"http://{evil}:{site.port}/")
        eventually("what the hostile page says", lambda: "done" in site.said, True, 60)
        self.assertEqual(site.said, ["done"])
        # The page came as far as here: it was refused often.
        refusals = server.metrics()
        asked = sum(n for name, n in refusals.items() if "refusals_total" in name)
        self.assertGreater(asked, 15, refusals)
        self.assertEqual(refusals["headcount_joins_total"], 1)
        # And what is allowed does get through, in the same browser.
        friend.page = f"<script>new EventSource('{stream}').addEventListener('user count', "
        friend.page += "() => fetch('/said/joined'), {once: true})</script>"
        self.browse(browser, f"{friendly}/")
        observer.sees(2, within=60)
        eventually("what the friendly page says", lambda: friend.said, ["joined"])
        self.assertEqual(observer.history, [1, 2])

    def test_a_hostile_page_moves_no_count(self):
        for browser in (chromium, firefox):
            with self.subTest(browser=browser.__name__):
                self.check(browser, "127.0.0.1", "localhost", FORGED)

    def test_nor_does_it_over_plain_http_where_browsers_say_less(self):
        for browser in (chromium, firefox):
            with self.subTest(browser=browser.__name__):
                self.check(browser, "count.test", "evil.test", "")


if __name__ == "__main__":
    unittest.main()
