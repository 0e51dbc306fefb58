// Several tabs of one browser: each is counted, or with per="browser" all of them
// as one, with one stream, whoever of them comes and goes.

import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { startServer } from '../support/server.mjs';
import { PAGE, startSite } from '../support/site.mjs';
import { visit } from '../support/visitor.mjs';
import { eventually } from '../support/wait.mjs';
import { BROWSERS, PARTIAL, RETURN_MS, SETTLING, elementShows, told, useBrowser } from './browsers.mjs';

const SILENT = { args: ['--keep-alive', '1h'] };
const ONE = '<user-count room="x" per="browser">–</user-count>';
const EACH = '<user-count room="x" per="tab">–</user-count>';

const counts = (server, count) =>
  eventually('/count', async () => (await server.count('x')).count, count);

/** The numbers that a page's elements have shown, one after the other. */
async function numbers(page) {
  const all = (await told(page)).map(({ count }) => count).filter((count) => count !== null);
  return all.filter((number, i) => number !== all[i - 1]);
}

/** The states that they have been in, one after the other. */
async function states(page) {
  const all = (await told(page)).map(({ state }) => state);
  return all.filter((state, i) => state !== all[i - 1]);
}

for (const browser of BROWSERS) {
  describe(`tabs, in ${browser.name}`, { concurrency: 4, timeout: 120_000 }, () => {
    const newContext = useBrowser(browser);

    /** A server, a site, and a visitor's browser with so many tabs on one page of it. */
    async function visited(t, tabs, body, { args = SILENT.args, prepare } = {}) {
      const server = await startServer(t, { args });
      const site = await startSite(t, server, { '/': PAGE(body), '/other': PAGE('') });
      const context = await newContext(t);
      const open = async () => {
        const page = await context.newPage();
        if (prepare) await page.evaluateOnNewDocument(prepare);
        await page.goto(site.url);
        return page;
      };
      const pages = [];
      while (pages.length < tabs) pages.push(await open());
      return { server, site, pages, open, context };
    }

    test('per="tab" counts each', async (t) => {
      const { server, site, pages } = await visited(t, 2, EACH);
      for (const page of pages) await elementShows(page, '2');
      await counts(server, 2);
      assert.equal(site.streams(), 2);
    });

    test('per="browser" counts them as one, and two browsers as two', async (t) => {
      const { server, site, pages } = await visited(t, 2, ONE);
      for (const page of pages) await elementShows(page, '1');
      const another = await (await newContext(t)).newPage();
      await another.goto(site.url);
      await elementShows(another, '2');
      for (const page of pages) await elementShows(page, '2');
      await counts(server, 2);
      assert.equal(site.streams(), 2);
      assert.deepEqual(await numbers(pages[1]), [1, 2]);
    });

    test('when the tab that leads is closed another takes over, and no number is seen in between', async (t) => {
      const { server, site, pages } = await visited(t, 4, ONE);
      for (const page of pages) await elementShows(page, '1');
      for (const left of [3, 2, 1]) {
        await pages.shift().close();
        // The takeover is known by what is told next.
        const other = await visit(t, server, 'x');
        for (const page of pages) await elementShows(page, '2');
        other.leave();
        for (const page of pages) await elementShows(page, '1');
        assert.equal(site.streams(), 1);
        assert.equal(pages.length, left);
      }
      assert.deepEqual(await numbers(pages[0]), [1, 2, 1, 2, 1, 2, 1]);
      assert.deepEqual(await states(pages[0]), ['connecting', 'live']);
      await pages[0].close();
      await counts(server, 0);
    });

    test('when the tab that leads goes elsewhere, or has its element taken away, too', async (t) => {
      const { server, site, pages } = await visited(t, 3, ONE);
      for (const page of pages) await elementShows(page, '1');
      await pages[0].$eval('user-count', (one) => one.remove());
      await visit(t, server, 'x');
      await elementShows(pages[1], '2');
      await pages[1].goto(`${site.url}/other`);
      await visit(t, server, 'x');
      await elementShows(pages[2], '3');
      assert.deepEqual(await numbers(pages[2]), [1, 2, 3]);
      await counts(server, 3);
    });

    test('seven tabs over HTTP/1.1 leave the site connections for all else', async (t) => {
      const { server, site, pages, open } = await visited(t, 7, ONE);
      for (const page of pages) await elementShows(page, '1');
      assert.equal(site.streams(), 1);
      await counts(server, 1);
      // A browser has six connections to a host: with a stream a tab this would wait.
      const fetched = pages[6].evaluate(() => fetch('/other').then((answer) => answer.status));
      const late = new Promise((resolve) => setTimeout(resolve, 10_000, 'too late'));
      assert.equal(await Promise.race([fetched, late]), 200);
      await elementShows(await open(), '1');
    });

    test('all tabs say that the number is stale, and all come back', async (t) => {
      const { site, pages } = await visited(t, 3, ONE);
      for (const page of pages) await elementShows(page, '1');
      site.refuse();
      for (const page of pages) await elementShows(page, '1', 'stale');
      // Only the one that leads tries again.
      await eventually('the refusals', site.refusals, (count) => count >= 3, RETURN_MS);
      site.relent();
      for (const page of pages) await elementShows(page, '1', 'live', undefined, RETURN_MS);
      assert.equal(site.streams(), 1);
    });

    test('all tabs say that the number is partial, and when it is not any more', async (t) => {
      const { site, pages } = await visited(t, 2, ONE, SETTLING);
      for (const page of pages) await elementShows(page, '1', 'partial');
      assert.equal(site.streams(), 1);
      for (const page of pages) await elementShows(page, '1', 'live', undefined, RETURN_MS);
      for (const page of pages) assert.deepEqual(await states(page), ['connecting', 'partial', 'live']);
    });

    test('when another tab takes over, a partial number stays partial', async (t) => {
      const { server, pages } = await visited(t, 2, ONE, PARTIAL);
      for (const page of pages) await elementShows(page, '1', 'partial');
      await pages.shift().close();
      await visit(t, server, 'x');
      await elementShows(pages[0], '2', 'partial');
      assert.deepEqual(await states(pages[0]), ['connecting', 'partial']);
    });

    const canFreeze = browser.name === 'Chromium';
    test(
      'a tab that leads and is frozen leads no more',
      { skip: !canFreeze && `no way is known to freeze a tab of ${browser.name}` },
      async (t) => {
        const { server, pages } = await visited(t, 2, ONE, { args: ['--keep-alive', '1s'] });
        for (const page of pages) await elementShows(page, '1');
        const devtools = await pages[0].createCDPSession();
        await devtools.send('Page.setWebLifecycleState', { state: 'frozen' });
        const other = await visit(t, server, 'x');
        await eventually('what the other tab shows', () => numbers(pages[1]), (seen) => seen.at(-1) >= 2);
        await elementShows(pages[1], String((await server.count('x')).count));
        other.leave();
        await devtools.send('Page.setWebLifecycleState', { state: 'active' });
        for (const page of pages) await elementShows(page, '1', 'live', undefined, RETURN_MS);
        await counts(server, 1);
      },
    );

    const without = {
      'without Web Locks': () => {
        Object.defineProperty(navigator, 'locks', { value: undefined });
      },
      'without BroadcastChannel': () => {
        delete window.BroadcastChannel;
      },
      'where they are forbidden': () => {
        const forbidden = () => Promise.reject(new DOMException('No.', 'SecurityError'));
        Object.defineProperty(navigator, 'locks', { value: { request: forbidden } });
      },
    };
    for (const [how, prepare] of Object.entries(without)) {
      test(`per="browser" counts each tab ${how}`, async (t) => {
        const { server, pages } = await visited(t, 2, ONE, { prepare });
        for (const page of pages) await elementShows(page, '2');
        await pages[0].close();
        await elementShows(pages[1], '1');
        await counts(server, 1);
      });
    }
  });
}
