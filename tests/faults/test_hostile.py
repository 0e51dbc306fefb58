"""Real browsers on somebody else's page, which does all that a page can do to open a
stream here: nobody is told of any of it.

Over loopback a browser says with each request what it is for. Under a name it does
so over TLS alone, so the same is tried under names, over plain HTTP.
"""

import unittest

from browser import BROWSERS, BrowserTest, Site
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


class Hostile(BrowserTest):
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
        self.assertGreater(asked, 5, refusals)
        self.assertEqual(refusals["headcount_joins_total"], 1)
        # And what is allowed does get through, in the same browser.
        friend.page = f"<script>new EventSource('{stream}').addEventListener('user count', "
        friend.page += "() => fetch('/said/joined'), {once: true})</script>"
        self.browse(browser, f"{friendly}/")
        observer.sees(2, within=60)
        eventually("what the friendly page says", lambda: friend.said, ["joined"])
        self.assertEqual(observer.history, [1, 2])

    def test_a_hostile_page_moves_no_count(self):
        for browser in BROWSERS:
            with self.subTest(browser=browser.__name__):
                self.check(browser, "127.0.0.1", "localhost", FORGED)

    def test_nor_does_it_over_plain_http_where_browsers_say_less(self):
        for browser in BROWSERS:
            with self.subTest(browser=browser.__name__):
                self.check(browser, "count.test", "evil.test", "")


if __name__ == "__main__":
    unittest.main()
