// An element that doesn't count says why: in its state, its events and the console.

import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { startServer } from '../support/server.mjs';
import { PAGE, startSite } from '../support/site.mjs';
import { visit } from '../support/visitor.mjs';
import { eventually } from '../support/wait.mjs';
import { BROWSERS, RETURN_MS, elementShows, told, useBrowser } from './browsers.mjs';

const SILENT = ['--keep-alive', '1h'];

for (const browser of BROWSERS) {
  describe(`what is refused, in ${browser.name}`, { concurrency: 4, timeout: 120_000 }, () => {
    const newContext = useBrowser(browser);

    /** A visitor's browser on a page of a site, and all that its console is told. */
    async function opened(t, server, body, { script = '/client.js', answer } = {}) {
      const site = await startSite(t, server, { '/': PAGE(body, script) }, answer);
      const page = await (await newContext(t)).newPage();
      const warnings = [];
      const wrong = [];
      page.on('console', (message) => {
        if (/^warn/.test(message.type())) warnings.push(message.text());
      });
      page.on('pageerror', (error) => wrong.push(error.message));
      await page.goto(site.url);
      return { site, page, warnings, wrong };
    }

    const reason = (page) => page.$eval('user-count', (one) => one.reason);

    for (const per of ['browser', 'tab']) {
      test(`a forgotten --allow-origin is named, and healed when it is given, per="${per}"`, async (t) => {
        const first = await startServer(t, { args: SILENT });
        const observer = await visit(t, first, 'x');
        const body = `<user-count room="x" per="${per}">–</user-count><user-count room="y" per="${per}">–</user-count>`;
        const { site, page, warnings } = await opened(t, first, body, { script: `${first.url}/client.js` });
        await elementShows(page, '–', 'refused');
        const said =
          `${first.url} refuses a stream: this server does not count pages of ${site.url}: ` +
          `start it with --allow-origin ${site.url} (403)`;
        assert.equal(await reason(page), said);
        const heard = await page.evaluate(
          (mode) =>
            new Promise((resolve) => {
              headcount.watch({ room: 'x', per: mode }, (...what) => resolve(what));
            }),
          per,
        );
        assert.deepEqual(heard, [null, 'refused', said]);
        const { state, count, reason: why } = (await told(page)).at(-1);
        assert.deepEqual({ state, count, why }, { state: 'refused', count: null, why: said });
        assert.deepEqual(warnings, [`headcount: ${said}`]);
        assert.deepEqual(observer.history, [1]);

        first.signal('SIGKILL');
        await first.ends('SIGKILL');
        await startServer(t, { args: [...SILENT, '--allow-origin', site.url], port: first.port });
        await elementShows(page, '1', 'live', undefined, RETURN_MS);
        assert.equal(await reason(page), undefined);
        assert.equal(warnings.length, 1);
      });
    }

    test('a limit is named, and the element counts when there is a place', async (t) => {
      const server = await startServer(t, { args: [...SILENT, '--max-streams-per-ip', '1'] });
      const other = await visit(t, server, 'x');
      const { page, warnings } = await opened(t, server, '<user-count room="x">–</user-count>');
      await elementShows(page, '–', 'refused');
      assert.match(await reason(page), /refuses a stream: one of its limits is reached/);
      assert.equal(warnings.length, 1);
      other.leave();
      await elementShows(page, '1', 'live', undefined, RETURN_MS);
    });

    test('a room that is refused leaves those of the same stream alone', async (t) => {
      const server = await startServer(t, { args: [...SILENT, '--max-rooms', '1'] });
      const { page } = await opened(t, server, '<user-count room="x">–</user-count>');
      await elementShows(page, '1');
      const observer = await visit(t, server, 'x');
      await elementShows(page, '2');
      await page.evaluate(() => {
        document.body.insertAdjacentHTML('beforeend', '<user-count id="y" room="y">–</user-count>');
      });
      await elementShows(page, '–', 'refused', '#y');
      await elementShows(page, '2');
      const other = await visit(t, server, 'x');
      await elementShows(page, '3');
      other.leave();
      await elementShows(page, '2');
      assert.deepEqual(observer.history, [2, 3, 2]);
      const states = (await told(page)).filter(({ room }) => room === 'x').map(({ state }) => state);
      assert.deepEqual([...new Set(states)], ['connecting', 'live']);
    });

    test('a name that is none is refused without a question, and others are not', async (t) => {
      const server = await startServer(t, { args: SILENT });
      const { site, page, warnings } = await opened(
        t,
        server,
        `<user-count room="${'a'.repeat(129)}">–</user-count><user-count id="x" room="x">–</user-count>`,
      );
      await elementShows(page, '–', 'refused');
      await elementShows(page, '1', 'live', '#x');
      assert.match(await reason(page), /is not 1 to 128 bytes without control characters/);
      assert.equal(warnings.length, 1);
      assert.equal(site.asked.filter((url) => /^\/(events|count)/.test(url)).length, 1);
      await page.$eval('user-count', (one) => {
        one.room = 'a';
      });
      await elementShows(page, '1');
    });

    test('a server that is no Headcount is named', async (t) => {
      const server = await startServer(t, { args: SILENT });
      const { page } = await opened(t, server, '<user-count src="/elsewhere">–</user-count>');
      await elementShows(page, '–', 'refused');
      assert.match(await reason(page), /refuses a stream: there is nothing at this path \(404\)/);
    });

    for (const src of ['http://[', 'http://a:b', 'mailto:a@example.org', 'ftp://example.org']) {
      test(`src="${src}", which is no address, is a state and a warning, and no exception`, async (t) => {
        const server = await startServer(t, { args: SILENT });
        const { page, warnings, wrong } = await opened(t, server, `<user-count src="${src}">–</user-count>`);
        await elementShows(page, '–', 'refused');
        assert.equal(await reason(page), `src="${src}" is no address`);
        await page.evaluate((bad) => headcount.watch({ src: bad }, () => {}), src);
        assert.deepEqual(warnings, [`headcount: src="${src}" is no address`]);
        assert.deepEqual(wrong, []);
        await page.$eval('user-count', (one) => one.removeAttribute('src'));
        await elementShows(page, '1');
      });
    }

    test('values that are unknown are warned of once', async (t) => {
      const server = await startServer(t, { args: SILENT });
      const one = '<user-count per="brower" show="Others" format="short" when="seen">–</user-count>';
      const { page, warnings } = await opened(t, server, one + one);
      await elementShows(page, '1');
      assert.deepEqual(warnings, [
        'headcount: per="brower" is none of: browser,tab',
        'headcount: show="Others" is none of: others',
        'headcount: format="short" is none of: compact',
        'headcount: when="seen" is none of: visible',
      ]);
    });

    test("a second server's script on the page is heard, and the same one's is not minded", async (t) => {
      const [server, second] = [await startServer(t, { args: SILENT }), await startServer(t, { args: SILENT })];
      const { site, page, warnings } = await opened(
        t,
        server,
        `<user-count>–</user-count>
         <script defer src="/client.js?again"></script>
         <script defer src="${second.url}/client.js"></script>`,
      );
      await elementShows(page, '1');
      await eventually('the warnings', () => warnings, [
        `headcount: elements without src="…" count at ${site.url}/, not at ${second.url}/`,
      ]);
      assert.equal((await second.count()).count, 0);
      assert.equal(site.streams(), 1);
    });
  });
}
