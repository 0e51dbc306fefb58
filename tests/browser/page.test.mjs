// What Headcount's own page shows while all is well, in real browsers. Who is here
// is known from what the test opened and closed; an observer outside the browser is
// told the numbers besides, and an observer's history is compared as a whole.

import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import axe from 'axe-core';
import { run } from '../support/process.mjs';
import { startServer } from '../support/server.mjs';
import { beneath, forward, startSite } from '../support/site.mjs';
import { reader, visit } from '../support/visitor.mjs';
import { eventually } from '../support/wait.mjs';
import {
  BROWSERS,
  PARTIAL,
  RETURN_MS,
  SETTLING,
  goBack,
  leaveFor,
  live,
  look,
  partial,
  shows,
  text,
  useBrowser,
} from './browsers.mjs';

// Without heartbeats a number is told only when it changes.
const SILENT = { args: ['--keep-alive', '1h'] };
const MARKUP = '<img src=x onerror=alert(1)>';

const was = (observer, history, within) =>
  eventually('what the observer was told', () => observer.history, history, within);

/** Serves the page with a stream that says a number which no test can bring together. */
async function atCount(t, server, count) {
  const site = await startSite(t, server, {}, (request, response) => {
    if (!request.url.startsWith('/events')) return false;
    response.setHeader('content-type', 'text/event-stream');
    response.write(`event: user count\ndata: ${count}\n\n`);
    return true;
  });
  return site.url;
}

for (const browser of BROWSERS) {
  describe(`the page, in ${browser.name}`, { concurrency: 4, timeout: 120_000 }, () => {
    const newContext = useBrowser(browser);

    test('two tabs count as two, and closing one lowers the count in the other', async (t) => {
      const server = await startServer(t, SILENT);
      const context = await newContext(t);
      const first = await context.newPage();
      await first.goto(server.page());
      await shows(first, live(1));

      // The page invites to this.
      await first.click('a[target=_blank]');
      const others = async () => (await context.pages()).filter((page) => page !== first);
      const [second] = await eventually('the new tabs', others, (pages) => pages.length === 1);
      await shows(second, live(2));
      await shows(first, live(2));

      await second.close();
      await shows(first, live(1));
    });

    test('with ?observe=1 the page listens and is not counted, and says how to do so elsewhere', async (t) => {
      const server = await startServer(t, SILENT);
      const visitor = await visit(t, server, 'x');
      const page = await (await newContext(t)).newPage();
      await page.goto(`${server.page('x')}&observe=1`);
      await shows(page, live(1));
      await visit(t, server, 'x');
      await shows(page, live(2));
      assert.deepEqual(visitor.history, [1, 2]);
      assert.equal(await text(page, '#curl'), `curl -N '${server.events('x')}&observe=1'`);
    });

    test('the words fit the number, and so do large numbers', async (t) => {
      const server = await startServer(t, SILENT);
      const page = await (await newContext(t)).newPage();
      await page.goto(server.page());
      await shows(page, { sentence: '1 person is here now', state: 'live' });
      const other = await visit(t, server);
      await shows(page, { sentence: '2 people are here now', state: 'live' });
      other.leave();
      await shows(page, { sentence: '1 person is here now', state: 'live' });

      await page.goto(await atCount(t, server, 1234567));
      await shows(page, { sentence: '1,234,567 people are here now', state: 'live' });
    });

    test('a partial number is shown, and said to be so, but not charted', async (t) => {
      const server = await startServer(t, SETTLING);
      const page = await (await newContext(t)).newPage();
      // A tab that is not in front would not draw.
      await page.evaluateOnNewDocument(() => {
        Object.defineProperty(document, 'hidden', { get: () => false });
      });
      await page.goto(server.page());
      await shows(page, partial(1));
      assert.match(await text(page, '#status'), /some people may not be counted yet/);
      const line = () => page.$eval('#line', (path) => path.getAttribute('d'));
      assert.equal(await line(), '');
      assert.equal(await text(page, '#summary'), 'Last 5 minutes');

      await shows(page, live(1), RETURN_MS);
      assert.equal(await text(page, '#status'), 'Live');
      await eventually("the chart's line", line, (path) => path !== '');
      await eventually('its summary', () => text(page, '#summary'), 'Last 5 minutes: low 1, high 1');
    });

    test('the chart begins with what the server knows of the last minutes', async (t) => {
      const server = await startServer(t, SILENT);
      const asked = [];
      const site = await startSite(t, server, {}, (request, response) => {
        if (request.url.startsWith('/events')) {
          // Long after the past: that leaves no gap between them.
          setTimeout(() => forward(server, request, response), 1000);
          return true;
        }
        if (!request.url.startsWith('/history')) return false;
        asked.push(request.url);
        const at = Math.floor(Date.now() / 1000) - 60;
        const [first, second] = [
          { at, least: 2, mean: 2.5, most: 3 },
          // What was between them it doesn't know.
          { at: at + 30, least: 7, mean: 8, most: 9 },
        ];
        response.end(JSON.stringify({ room: 'a b', step: 5, points: [first, second] }));
        return true;
      });
      const page = await (await newContext(t)).newPage();
      await page.evaluateOnNewDocument(() => {
        Object.defineProperty(document, 'hidden', { get: () => false });
      });
      await page.goto(`${site.url}/?room=a+b`);
      await shows(page, live(1));
      const summary = () => text(page, '#summary');
      await eventually('the summary', summary, 'Last 5 minutes: low 1, high 9');
      assert.deepEqual(asked, ['/history?last=5m&room=a+b']);
      const moves = await page.$eval('#line', (path) => path.getAttribute('d').match(/M/g).length);
      assert.equal(moves, 2, 'the line has a gap');
    });

    test('twenty reloads are twenty visits, one after the other', async (t) => {
      const server = await startServer(t, SILENT);
      const observer = await visit(t, server);
      const page = await (await newContext(t)).newPage();
      await page.goto(server.page());
      await shows(page, live(2));
      for (let reload = 1; reload <= 20; reload += 1) {
        await page.reload();
        await shows(page, (seen) => seen.state === 'live');
      }
      await shows(page, live(2));
      await eventually('/count', () => server.count(), { room: 'lobby', count: 2 });

      // The new visit may be seen before the end of the old one, but no more than that.
      const { history } = observer;
      await eventually("the observer's newest number", () => history.at(-1), 2);
      const joins = history.filter((number, i) => i > 0 && number > history[i - 1]);
      assert.equal(joins.length, 21, `there are 21 arrivals in ${history}`);
      assert(Math.max(...history) <= 3, `nobody is counted twice for long in ${history}`);
    });

    for (const path of ['/', '/public/', '/public']) {
      test(`the page at ${path} is in the same lobby`, async (t) => {
        const server = await startServer(t, SILENT);
        const observer = await visit(t, server);
        const page = await (await newContext(t)).newPage();
        await page.goto(server.page(undefined, path));
        await shows(page, live(2));
        assert.equal(await text(page, '#room'), 'lobby');
        await was(observer, [1, 2]);
      });
    }

    for (const path of ['/app/public/', '/app/public/public/']) {
      test(`the page at ${path} is beneath the prefix /app/public`, async (t) => {
        const server = await startServer(t, SILENT);
        const site = await startSite(t, server, {}, beneath('/app/public'));
        const page = await (await newContext(t)).newPage();
        await page.goto(site.url + path);
        await shows(page, live(1));
        assert.equal(await text(page, '#curl'), `curl -N ${site.url}/app/public/events`);
      });
    }

    for (const room of [
      MARKUP,
      '"><script>alert(1)</script>',
      `it's "quoted" & <b>bold</b>`,
      '👩‍👩‍👧 família',
      'غرفة \u202eabc',
    ]) {
      test(`a room of the name ${room} is text, whatever is in it`, async (t) => {
        const server = await startServer(t, SILENT);
        const inLobby = await visit(t, server);
        const inRoom = await visit(t, server, room);
        const pages = {};
        const site = await startSite(t, server, pages);
        const page = await (await newContext(t)).newPage();
        const dialogs = [];
        page.on('dialog', (dialog) => {
          dialogs.push(dialog.message());
          return dialog.dismiss();
        });
        await page.goto(`${site.url}/public/?${new URLSearchParams({ room })}`);
        await shows(page, live(2));
        assert.equal(await text(page, '#room'), room);
        assert.equal(await page.$eval('#room', (found) => found.localName), 'bdi');
        assert.equal(await page.$eval('body', (body) => body.querySelector('img, b, script')), null);
        assert.deepEqual(dialogs, []);
        await was(inRoom, [1, 2]);
        await was(inLobby, [1]);

        // What the page says to embed is, on a page, the same room.
        pages['/mine'] = `<!doctype html><meta charset="utf-8">${await text(page, '#embed')}`;
        const embedder = await (await newContext(t)).newPage();
        await embedder.goto(`${site.url}/mine`);
        await was(inRoom, [1, 2, 3]);
      });
    }

    for (const room of ['new\nline', 'a\0b', '1'.repeat(129)]) {
      test(`a room of the name ${JSON.stringify(room).slice(0, 20)} is refused`, async (t) => {
        const server = await startServer(t, SILENT);
        const observer = await visit(t, server);
        const site = await startSite(t, server);
        const page = await (await newContext(t)).newPage();
        await page.goto(`${site.url}/?${new URLSearchParams({ room })}`);
        await shows(page, { sentence: '– people are here now', state: 'refused' });
        assert.match(await text(page, '#status'), /does not count/);
        assert.deepEqual(observer.history, [1]);
      });
    }

    for (const room of [undefined, MARKUP, `it's "$(exit)" & 100% \\ *`]) {
      test(`the command on the page works in a shell as it is: room ${room}`, async (t) => {
        const server = await startServer(t, SILENT);
        const page = await (await newContext(t)).newPage();
        await page.goto(server.page(room));
        await shows(page, live(1));
        const history = [];
        const command = await text(page, '#curl');
        // With failglob bash minds a bare `?` as zsh does.
        const shell = run(t, 'bash', ['-O', 'failglob', '-c', `exec ${command}`]);
        shell.child.stdout.on('data', reader(history));
        await eventually(`what ${command} is told`, () => history, [2]);
        await shows(page, live(2));
      });
    }

    // (Firefox keeps no page with an open stream.)
    for (const kept of browser.keepsStreams ? [true, false] : [false]) {
      const how = kept ? 'kept by the browser' : 'loaded anew';
      test(`who goes elsewhere and back, to a page ${how}, leaves and joins once`, async (t) => {
        const server = await startServer(t, SILENT);
        const site = await startSite(t, server, { '/elsewhere': '<!doctype html><p>Elsewhere' });
        const observer = await visit(t, server);
        const page = await (await newContext(t)).newPage();
        // A browser keeps no page that listens for this.
        if (!kept) await page.evaluateOnNewDocument(() => addEventListener('unload', () => {}));
        await page.goto(server.page());
        await shows(page, live(2));
        await leaveFor(page, `${site.url}/elsewhere`);
        await was(observer, [1, 2, 1], 2000);

        await goBack(page, server.page());
        await shows(page, live(2));
        assert.equal(await page.evaluate(() => window.kept ?? false), kept);
        await was(observer, [1, 2, 1, 2]);
      });
    }

    test('nothing goes wrong in the console', async (t) => {
      const server = await startServer(t, SILENT);
      const page = await (await newContext(t)).newPage();
      const wrong = [];
      page.on('pageerror', (error) => wrong.push(`pageerror: ${error.message}`));
      page.on('console', (message) => {
        if (['error', 'warn', 'warning'].includes(message.type())) wrong.push(message.text());
      });
      page.on('response', (response) => {
        if (response.status() >= 400) wrong.push(`${response.status()} for ${response.url()}`);
      });
      for (const path of ['/', '/public/']) {
        await page.goto(server.page(undefined, path));
        await shows(page, live(1));
        const other = await visit(t, server);
        await shows(page, live(2));
        other.leave();
        await shows(page, live(1));
      }
      assert.deepEqual(wrong, []);
    });

    test('it works under a content security policy that allows its own files alone', async (t) => {
      const server = await startServer(t, SILENT);
      const files = ['/', '/page.js', '/words.js', '/client.js', '/style.css'];
      const site = await startSite(t, server, {}, (request, response) => {
        if (!files.includes(request.url)) return false;
        response.setHeader(
          'content-security-policy',
          "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; " +
            "img-src 'self' data:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
        );
        fetch(server.url + request.url).then(async (file) => {
          response.setHeader('content-type', file.headers.get('content-type'));
          response.end(await file.text());
        });
        return true;
      });
      const page = await (await newContext(t)).newPage();
      await page.evaluateOnNewDocument(() => {
        window.violations = [];
        addEventListener('securitypolicyviolation', (event) => {
          window.violations.push(`${event.violatedDirective}: ${event.blockedURI}`);
        });
      });
      await page.goto(`${site.url}/`);
      await shows(page, live(1));
      await visit(t, server);
      await shows(page, live(2));
      assert.deepEqual(await page.evaluate(() => window.violations), []);
      // The policy is really there.
      await page.evaluate(() => {
        document.body.setAttribute('style', 'color: red');
      });
      const violations = () => page.evaluate(() => window.violations);
      await eventually('the violations', violations, (found) => found.length === 1);
    });

    test('the number is read out politely, with its words, and only when it changes', async (t) => {
      const server = await startServer(t, { args: ['--keep-alive', '200ms'] });
      const page = await (await newContext(t)).newPage();
      await page.evaluateOnNewDocument(() => {
        window.received = 0;
        const { addEventListener } = EventSource.prototype;
        EventSource.prototype.addEventListener = function (name, listener) {
          addEventListener.call(this, name, (event) => {
            if (name === 'user count') window.received += 1;
            listener(event);
          });
        };
      });
      const received = () => page.evaluate(() => window.received);
      await page.goto(server.page());
      await shows(page, live(1));
      const region = await page.$eval('#sentence', (sentence) => ({
        live: sentence.getAttribute('aria-live'),
        atomic: sentence.getAttribute('aria-atomic'),
        parts: [...sentence.children].map((child) => child.id),
      }));
      assert.deepEqual(region, { live: 'polite', atomic: 'true', parts: ['count', 'people'] });

      await page.evaluate(() => {
        window.readOut = 0;
        const observer = new MutationObserver(() => (window.readOut += 1));
        const what = { childList: true, characterData: true, subtree: true };
        for (const said of document.querySelectorAll('[aria-live], [role=status]')) {
          observer.observe(said, what);
        }
        window.heard = [];
        headcount.watch({ per: 'tab' }, (count) => window.heard.push(count));
      });
      const before = await received();
      await eventually('the number of heartbeats', received, (count) => count >= before + 5);
      assert.equal(await page.evaluate(() => window.readOut), 0);
      assert.deepEqual(await page.evaluate(() => window.heard), [1]);
      await visit(t, server);
      await shows(page, live(2));
      assert.notEqual(await page.evaluate(() => window.readOut), 0);
    });

    for (const count of [1, 1234567]) {
      test(`nothing sticks out of a screen 320 pixels wide at ${count}`, async (t) => {
        const server = await startServer(t, SILENT);
        const page = await (await newContext(t)).newPage();
        await page.setViewport({ width: 320, height: 568 });
        const url = count === 1 ? server.url : await atCount(t, server, count);
        await page.goto(`${url}/?room=${'W'.repeat(128)}`);
        const number = count.toLocaleString('en');
        await eventually('the number', () => text(page, '#count'), number);
        const { isWider, out } = await page.evaluate(() => ({
          isWider: document.documentElement.scrollWidth > innerWidth,
          out: [...document.body.querySelectorAll('*')]
            .filter((element) => element.getBoundingClientRect().right > innerWidth)
            .map((element) => element.outerHTML),
        }));
        assert.deepEqual({ isWider, out }, { isWider: false, out: [] });
      });
    }

    for (const [scheme, settings, expected] of [
      ['light', SILENT, live(1)],
      ['dark', SILENT, live(1)],
      ['light', PARTIAL, partial(1)],
      ['dark', PARTIAL, partial(1)],
    ]) {
      test(`axe-core finds no fault with the page, ${scheme} and ${expected.state}`, async (t) => {
        const server = await startServer(t, settings);
        const page = await (await newContext(t)).newPage();
        const isDark = scheme === 'dark';
        // BiDi has no command for this, and Firefox has a preference in its place:
        // its page is looked at in the light twice.
        if (browser.name === 'Chromium') {
          await page.emulateMediaFeatures([{ name: 'prefers-color-scheme', value: scheme }]);
          const dark = () => matchMedia('(prefers-color-scheme: dark)').matches;
          assert.equal(await page.evaluate(dark), isDark);
        }
        await page.goto(server.page());
        await shows(page, expected);
        await page.evaluate(axe.source);
        const violations = () =>
          page.evaluate(async () => {
            const { violations } = await window.axe.run();
            return violations.map(({ id, nodes }) => `${id}: ${nodes.map((node) => node.html)}`);
          });
        // A colour that is still changing to its new one is read as what it is just then.
        await eventually('the faults', violations, []);
      });
    }
  });
}
