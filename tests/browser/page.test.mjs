// What the page shows while all is well, in a real browser. Who is here is known
// from what the test opened and closed; an observer outside the browser is told
// the numbers besides, and an observer's history is compared as a whole.

import assert from 'node:assert/strict';
import { createServer } from 'node:http';
import { once } from 'node:events';
import { describe, test } from 'node:test';
import { run } from '../support/process.mjs';
import { startServer } from '../support/server.mjs';
import { reader, visit } from '../support/visitor.mjs';
import { eventually } from '../support/wait.mjs';
import { live, look, received, shows, useBrowser } from './chromium.mjs';

// Without heartbeats a number is told only when it changes.
const SILENT = { args: ['--keep-alive', '1h'] };
const HOSTILE = '<img src=x onerror=alert(1)>';

const was = (observer, history) =>
  eventually('what the observer was told', () => observer.history, history);

describe('the page', { concurrency: 3, timeout: 120_000 }, () => {
  const newContext = useBrowser();

  test('two tabs count as two, and closing one lowers the count in the other', async (t) => {
    const server = await startServer(t, SILENT);
    const context = await newContext(t);
    const first = await context.newPage();
    await first.goto(server.page());
    await shows(first, live(1));

    // The page invites to this.
    const [second] = await Promise.all([
      context.waitForEvent('page'),
      first.getByRole('link', { name: 'second tab' }).click(),
    ]);
    await shows(second, live(2));
    await shows(first, live(2));

    await second.close();
    await shows(first, live(1));
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

    await answerWith(page, 1234567);
    await page.reload();
    await eventually(
      'the sentence',
      async () => (await look(page)).sentence,
      '1,234,567 people are here now',
    );
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
      assert.equal(await page.textContent('#room'), 'lobby');
      await was(observer, [1, 2]);
    });
  }

  for (const path of ['/', '/public/', '/public']) {
    test(`a room named in the address of ${path} is text, whatever is in it`, async (t) => {
      const server = await startServer(t, SILENT);
      const inLobby = await visit(t, server);
      const inRoom = await visit(t, server, HOSTILE);
      const page = await (await newContext(t)).newPage();
      const dialogs = [];
      page.on('dialog', (dialog) => {
        dialogs.push(dialog.message());
        return dialog.dismiss();
      });
      await page.goto(server.page(HOSTILE, path));
      await shows(page, live(2));
      assert.equal(await page.textContent('#room'), HOSTILE);
      assert.equal(await page.locator('img').count(), 0);
      assert.deepEqual(dialogs, []);
      await was(inRoom, [1, 2]);
      await was(inLobby, [1]);
    });
  }

  for (const room of [undefined, HOSTILE, `it's "$(exit)" & 100% \\ *`]) {
    test(`the command on the page works in a shell as it is: room ${room}`, async (t) => {
      const server = await startServer(t, SILENT);
      const page = await (await newContext(t)).newPage();
      await page.goto(server.page(room));
      await shows(page, live(1));
      const history = [];
      const command = await page.textContent('#curl');
      // With failglob bash minds a bare `?` as zsh does.
      const shell = run(t, 'bash', ['-O', 'failglob', '-c', `exec ${command}`]);
      shell.child.stdout.on('data', reader(history));
      await eventually(`what ${command} is told`, () => history, [2]);
      await shows(page, live(2));
    });
  }

  for (const kept of [true, false]) {
    const how = kept ? 'kept by the browser' : 'loaded anew';
    test(`who goes elsewhere and back, to a page ${how}, leaves and joins once`, async (t) => {
      const elsewhere = await standIn(t, '<!doctype html><title>Elsewhere</title>');
      const server = await startServer(t, SILENT);
      const observer = await visit(t, server);
      const page = await (await newContext(t)).newPage();
      // A browser keeps no page that listens for this.
      if (!kept) await page.addInitScript(() => addEventListener('unload', () => {}));
      await page.goto(server.page());
      await shows(page, live(2));
      await page.evaluate((target) => {
        window.kept = true;
        location.href = target;
      }, elsewhere);
      await page.waitForURL(elsewhere);
      await was(observer, [1, 2, 1]);

      await page.goBack({ waitUntil: 'commit' });
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
      if (['error', 'warning'].includes(message.type())) wrong.push(message.text());
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

  test('the number is read out politely, with its words, and only when it changes', async (t) => {
    const server = await startServer(t, { args: ['--keep-alive', '200ms'] });
    const page = await (await newContext(t)).newPage();
    const events = await received(page);
    await page.goto(server.page());
    await shows(page, live(1));
    const region = page.locator('[aria-live=polite]', { has: page.locator('#count') });
    assert.equal(await region.locator('#people').count(), 1);
    assert.equal(await region.getAttribute('aria-atomic'), 'true');

    await page.evaluate(() => {
      window.readOut = 0;
      const observer = new MutationObserver(() => (window.readOut += 1));
      const what = { childList: true, characterData: true, subtree: true };
      for (const said of document.querySelectorAll('[aria-live], [role=status]')) {
        observer.observe(said, what);
      }
    });
    const before = events();
    await eventually('the number of heartbeats', events, (count) => count >= before + 5);
    assert.equal(await page.evaluate(() => window.readOut), 0);
    await visit(t, server);
    await shows(page, live(2));
    assert.notEqual(await page.evaluate(() => window.readOut), 0);
  });

  for (const count of [1, 1234567]) {
    test(`nothing sticks out of a screen 320 pixels wide at ${count}`, async (t) => {
      const server = await startServer(t, SILENT);
      const context = await newContext(t, { viewport: { width: 320, height: 568 } });
      const page = await context.newPage();
      if (count !== 1) await answerWith(page, count);
      await page.goto(server.page('W'.repeat(128)));
      await eventually(
        'the number',
        () => page.textContent('#count'),
        count.toLocaleString('en'),
      );
      const { width, out } = await page.evaluate(() => ({
        width: document.documentElement.scrollWidth,
        out: [...document.body.querySelectorAll('*')]
          .filter((element) => element.getBoundingClientRect().right > 320)
          .map((element) => element.outerHTML),
      }));
      assert.deepEqual({ width, out }, { width: 320, out: [] });
    });
  }
});

/** Has the page's stream say a number that no test can bring together. */
const answerWith = (page, count) =>
  page.route(/\/events(\?|$)/, (route) =>
    route.fulfill({
      contentType: 'text/event-stream',
      body: `event: user count\ndata: ${count}\n\n`,
    }),
  );

/** Serves one page that has nothing to do with Headcount; answers with its address. */
async function standIn(t, html) {
  const server = createServer((_, response) => {
    response.setHeader('content-type', 'text/html').end(html);
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  t.after(() => {
    server.closeAllConnections();
    server.close();
  });
  return `http://127.0.0.1:${server.address().port}/`;
}
