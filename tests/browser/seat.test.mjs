// A visitor keeps the seat: whatever happens to streams, an observer outside is told
// of nobody who came or left, if nobody did.

import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { startServer } from '../support/server.mjs';
import { PAGE, startSite } from '../support/site.mjs';
import { visit } from '../support/visitor.mjs';
import { eventually } from '../support/wait.mjs';
import { startWire } from '../support/wire.mjs';
import { BROWSERS, RETURN_MS, elementShows, is, live, partial, shows, useBrowser } from './browsers.mjs';

const SILENT = { args: ['--keep-alive', '1h'] };
const ONE = PAGE('<user-count per="browser">–</user-count>');

/** What an observer was told, without what was said again. */
const changes = ({ history }) => history.filter((number, i) => number !== history[i - 1]);

for (const browser of BROWSERS) {
  describe(`the seat, in ${browser.name}`, { concurrency: 3, timeout: 120_000 }, () => {
    const newContext = useBrowser(browser);

    // A stream whose numbers are partial says the token before another event.
    for (const [settle, seen] of [['0s', live(2)], ['1h', partial(2)]]) {
      test(`who comes back over a network that was cut is not counted twice, ${seen.state}`, async (t) => {
        const server = await startServer(t, { args: ['--keep-alive', '1s', '--settle', settle] });
        const observer = await visit(t, server);
        // The wire still holds the old connection up: the server sees nothing amiss.
        const wire = await startWire(t, server);
        const page = await (await newContext(t)).newPage();
        await page.goto(wire.url);
        await shows(page, seen);
        wire.cut();
        await is(page, 'stale', 5000);
        wire.mend();
        await shows(page, seen, RETURN_MS);
        assert.deepEqual(changes(observer), [1, 2]);
        await page.close();
        await eventually('what the observer was told', () => changes(observer), [1, 2, 1]);
      });
    }

    test('per="browser": while one tab after the other is closed, nobody is told a thing', async (t) => {
      const server = await startServer(t, SILENT);
      const site = await startSite(t, server, { '/': ONE });
      const observer = await visit(t, server);
      const context = await newContext(t);
      const pages = [];
      for (let tab = 1; tab <= 4; tab += 1) {
        const page = await context.newPage();
        await page.goto(site.url);
        await elementShows(page, '2');
        pages.push(page);
      }
      while (pages.length > 1) {
        await pages.shift().close();
        // The next of them has the stream.
        const isLed = () =>
          pages.at(-1).evaluate(async () => {
            const { held, pending } = await navigator.locks.query();
            return [...held, ...pending].filter(({ name }) => name.endsWith(' lead')).length;
          });
        await eventually('the tabs that lead or wait', isLed, pages.length);
        await eventually('the streams', site.streams, 1);
      }
      assert.deepEqual(observer.history, [1, 2]);
      await pages[0].close();
      await eventually('what the observer was told', () => observer.history, [1, 2, 1], 2000);
    });

    test('per="browser": twenty reloads are one visit', async (t) => {
      const server = await startServer(t, SILENT);
      const site = await startSite(t, server, { '/': ONE });
      const observer = await visit(t, server);
      const page = await (await newContext(t)).newPage();
      await page.goto(site.url);
      await elementShows(page, '2');
      for (let reload = 1; reload <= 20; reload += 1) {
        await page.reload();
        await elementShows(page, '2');
      }
      assert.deepEqual(observer.history, [1, 2]);
    });
  });
}
