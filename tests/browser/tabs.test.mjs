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

/** A page that is told so hears nothing of its own end, as one that crashes. */
const CRASHES = () => {
  const hush = (event) => window.isGone && event.stopImmediatePropagation();
  window.addEventListener('pagehide', hush, true);
  document.addEventListener('freeze', hush, true);
};
const crash = async (page) => {
  await page.evaluate(() => {
    window.isGone = true;
  });
  await page.close();
};

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
    // A page may hear that it is frozen, or just not go on, as when its machine has no memory.
    for (const hears of [true, false]) {
      test(
        `a tab that leads and is frozen, which it ${hears ? 'hears' : 'does not hear'} of, leads no more`,
        { skip: !canFreeze && `no way is known to freeze a tab of ${browser.name}` },
        async (t) => {
          const hush = () => {
            document.addEventListener('freeze', (event) => event.stopImmediatePropagation(), true);
          };
          const prepare = hears ? undefined : hush;
          const { server, site, pages } = await visited(t, 2, ONE, { args: ['--keep-alive', '1s'], prepare });
          const observer = await visit(t, server, 'x');
          for (const page of pages) await elementShows(page, '2');
          const devtools = await pages[0].createCDPSession();
          await devtools.send('Page.setWebLifecycleState', { state: 'frozen' });
          const isNewest = (seen) => seen.at(-1) === 3;
          const other = await visit(t, server, 'x');
          await eventually('what the other tab shows', () => numbers(pages[1]), isNewest);
          await elementShows(pages[1], '3');
          other.leave();
          await elementShows(pages[1], '2');
          await devtools.send('Page.setWebLifecycleState', { state: 'active' });
          for (const page of pages) await elementShows(page, '2', 'live', undefined, RETURN_MS);
          await counts(server, 2);
          await eventually('the streams', site.streams, 1);
          const seen = observer.history.filter((number, i) => number !== observer.history[i - 1]);
          assert.deepEqual(seen, [2, 3, 2]);
        },
      );
    }

    test(
      'the rooms of a tab that is frozen are given up, and taken again when it goes on',
      { skip: !canFreeze && `no way is known to freeze a tab of ${browser.name}` },
      async (t) => {
        const server = await startServer(t, SILENT);
        const site = await startSite(t, server, {
          '/0': PAGE('<user-count room="x">–</user-count>'),
          '/1': PAGE('<user-count room="y">–</user-count>'),
        });
        const context = await newContext(t);
        const pages = [];
        for (const path of ['/0', '/1']) {
          const page = await context.newPage();
          await page.goto(site.url + path);
          await elementShows(page, '1');
          pages.push(page);
        }
        const devtools = await pages[1].createCDPSession();
        await devtools.send('Page.setWebLifecycleState', { state: 'frozen' });
        await eventually('/count', async () => (await server.count('y')).count, 0);
        await devtools.send('Page.setWebLifecycleState', { state: 'active' });
        await elementShows(pages[1], '1');
        await eventually('/count', async () => (await server.count('y')).count, 1);
        await counts(server, 1);
      },
    );

    // Where a page is not secure, or a browser forbids it, the channel alone elects.
    const channelAlone = {
      'without Web Locks': () => {
        Object.defineProperty(navigator, 'locks', { value: undefined });
      },
      'where Web Locks are forbidden': () => {
        const forbidden = () => Promise.reject(new DOMException('No.', 'SecurityError'));
        Object.defineProperty(navigator, 'locks', { value: { request: forbidden } });
      },
    };
    for (const [how, prepare] of Object.entries(channelAlone)) {
      test(`${how} tabs are counted as one too, whichever of them is left`, async (t) => {
        const { server, site, pages } = await visited(t, 3, ONE, { prepare });
        for (const page of pages) await elementShows(page, '1');
        const observer = await visit(t, server, 'x');
        for (const page of pages) await elementShows(page, '2');
        assert.equal(site.streams(), 1);
        while (pages.length > 1) {
          await pages.shift().goto(`${site.url}/other`);
          await eventually('the streams', site.streams, 1);
          const other = await visit(t, server, 'x');
          for (const page of pages) await elementShows(page, '3');
          other.leave();
          for (const page of pages) await elementShows(page, '2');
        }
        assert.deepEqual(observer.history, [2, 3, 2, 3, 2]);
        await pages[0].close();
        await eventually('what the observer was told', () => observer.history.at(-1), 1);
      });

      test(`${how} another tab takes over from one that crashes`, async (t) => {
        const both = `(${CRASHES})();(${prepare})()`;
        const { server, site, pages, open } = await visited(t, 1, ONE, { prepare: both });
        await elementShows(pages[0], '1');
        const second = await open();
        await elementShows(second, '1');
        await crash(pages[0]);
        await eventually('the streams', site.streams, 1, RETURN_MS);
        await visit(t, server, 'x');
        await elementShows(second, '2', 'live', undefined, RETURN_MS);
        assert.equal(site.streams(), 1);
      });
    }

    test('without BroadcastChannel each tab is counted, with one stream for all its elements', async (t) => {
      const prepare = () => {
        delete window.BroadcastChannel;
      };
      const body = `${ONE}<user-count id="y" room="y">–</user-count>`;
      const { server, site, pages } = await visited(t, 2, body, { prepare });
      for (const page of pages) {
        await elementShows(page, '2');
        await elementShows(page, '2', 'live', '#y');
      }
      assert.equal(site.streams(), 2);
      await pages[0].close();
      await elementShows(pages[1], '1');
      await counts(server, 1);
    });

    /** Ten articles of a site, each with the number of the article and of the site. */
    const article = (nth) =>
      PAGE(`<user-count id="article" room="article ${nth}">–</user-count>
            <user-count id="site" room="x">–</user-count>`);

    test('ten tabs of an article each share one stream, and each shows its own numbers', async (t) => {
      const server = await startServer(t, SILENT);
      const articles = Object.fromEntries(
        Array.from({ length: 10 }, (_, nth) => [`/${nth}`, article(nth)]),
      );
      const site = await startSite(t, server, articles);
      const observer = await visit(t, server, 'x');
      const watched = await visit(t, server, 'article 2');
      const context = await newContext(t);
      const pages = [];
      for (const path of Object.keys(articles)) {
        const page = await context.newPage();
        await page.goto(site.url + path);
        pages.push(page);
      }
      for (const [nth, page] of pages.entries()) {
        await elementShows(page, nth === 2 ? '2' : '1', 'live', '#article');
        await elementShows(page, '2', 'live', '#site');
      }
      assert.equal(site.streams(), 1);
      const other = await visit(t, server, 'article 7');
      await elementShows(pages[7], '2', 'live', '#article');
      other.leave();
      await elementShows(pages[7], '1', 'live', '#article');
      // The one that leads, and another.
      await pages[0].close();
      await pages[9].close();
      for (const nth of [0, 9]) {
        await eventually('/count', async () => (await server.count(`article ${nth}`)).count, 0);
      }
      await visit(t, server, 'x');
      for (const page of pages.slice(1, 9)) await elementShows(page, '3', 'live', '#site');
      assert.equal(site.streams(), 1);
      assert.deepEqual(observer.history, [1, 2, 3]);
      assert.deepEqual(watched.history, [1, 2]);
    });

    test('seven tabs with two elements each all load and are all live over HTTP/1.1', async (t) => {
      const two = `${ONE}<user-count id="y" room="y">–</user-count>`;
      const { server, site, pages } = await visited(t, 7, two);
      for (const page of pages) {
        await elementShows(page, '1');
        await elementShows(page, '1', 'live', '#y');
      }
      assert.equal(site.streams(), 1);
      await visit(t, server, 'y');
      for (const page of pages) await elementShows(page, '2', 'live', '#y');
    });

    test('a tab that crashes, whichever it is, is not counted and changes nothing for the others', async (t) => {
      const server = await startServer(t, SILENT);
      const site = await startSite(t, server, { '/0': article(0), '/1': article(1), '/2': article(2) });
      const observer = await visit(t, server, 'x');
      const context = await newContext(t);
      const pages = [];
      for (const nth of [0, 1, 2]) {
        const page = await context.newPage();
        await page.evaluateOnNewDocument(CRASHES);
        await page.goto(`${site.url}/${nth}`);
        await elementShows(page, '2', 'live', '#site');
        pages.push(page);
      }
      // First one that follows, then the one that leads.
      for (const [gone, left] of [[2, [0, 1]], [0, [1]]]) {
        await crash(pages[gone]);
        await eventually('/count', async () => (await server.count(`article ${gone}`)).count, 0);
        for (const nth of left) await elementShows(pages[nth], '1', 'live', '#article');
      }
      const other = await visit(t, server, 'x');
      await elementShows(pages[1], '3', 'live', '#site');
      other.leave();
      await elementShows(pages[1], '2', 'live', '#site');
      assert.equal(site.streams(), 1);
      assert.deepEqual(observer.history, [1, 2, 3, 2]);
    });

    test('what another script of the origin says in the channel is looked at before it is believed', async (t) => {
      const { server, site, pages } = await visited(t, 2, ONE);
      for (const page of pages) await elementShows(page, '1');
      const wrong = [];
      for (const page of pages) page.on('pageerror', (error) => wrong.push(error.message));
      await pages[1].evaluate(async () => {
        // The channel's name is the beginning of the locks' names.
        const { held } = await navigator.locks.query();
        const [{ name }] = held.filter((lock) => lock.name.endsWith(' lead'));
        const base = name.replace(/ lead$/, '');
        const channel = new BroadcastChannel(base);
        const from = 'a';
        // With its lock it passes for a tab.
        await new Promise((has) => {
          navigator.locks.request(`${base} ${from}`, () => {
            has();
            return new Promise(() => {});
          });
        });
        const lead = { kind: 'lead', from, since: 1, keepAlive: 15000, streams: [], numbers: [] };
        for (const message of [
          null,
          7,
          'ask',
          [],
          {},
          { kind: 'want' },
          { kind: 'want', from, rooms: 'x' },
          { kind: 'want', from, rooms: [''] },
          { kind: 'want', from, rooms: ['\n', 7, 'a'.repeat(129)] },
          { ...lead, keepAlive: -1 },
          { ...lead, keepAlive: 'long' },
          { ...lead, since: 'ever' },
          { ...lead, streams: [[{}, ['y']]] },
          { ...lead, streams: [['token', 'y']] },
          { ...lead, streams: 7 },
          { ...lead, numbers: [['x', 'live', -7]] },
          { ...lead, numbers: [['x', 'live', '<b>7</b>']] },
          { ...lead, numbers: [['x', '<b>', 7]] },
          { ...lead, numbers: [null] },
        ]) {
          channel.postMessage(message);
        }
        // Whatever comes after them in the channel comes when they have been heard.
        channel.close();
      });
      const other = await visit(t, server, 'x');
      for (const page of pages) await elementShows(page, '2');
      other.leave();
      for (const page of pages) await elementShows(page, '1');
      for (const page of pages) assert.deepEqual(await numbers(page), [1, 2, 1]);
      for (const page of pages) assert.deepEqual(await states(page), ['connecting', 'live']);
      assert.deepEqual(wrong, []);
      assert.equal((await server.count('y')).count, 0);
      assert.equal(site.asked.filter((url) => url.startsWith('/events')).length, 1);
    });
  });
}
