// when="visible": only a tab that somebody looks at is counted.

import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { startServer } from '../support/server.mjs';
import { PAGE, startSite } from '../support/site.mjs';
import { visit } from '../support/visitor.mjs';
import { eventually } from '../support/wait.mjs';
import { BROWSERS, elementShows, useBrowser } from './browsers.mjs';

for (const browser of BROWSERS) {
  describe(`when="visible", in ${browser.name}`, { concurrency: 4, timeout: 60_000 }, () => {
    const newContext = useBrowser(browser);

    async function visited(t, body) {
      const server = await startServer(t, { args: ['--keep-alive', '1h'] });
      const site = await startSite(t, server, { '/': PAGE(body) });
      const observer = await visit(t, server, 'x');
      const page = await (await newContext(t)).newPage();
      // No browser under test hides a tab when it is told to.
      await page.evaluateOnNewDocument(() => {
        let isHidden = false;
        Object.defineProperty(document, 'hidden', { get: () => isHidden });
        window.hide = (hidden) => {
          isHidden = hidden;
          document.dispatchEvent(new Event('visibilitychange'));
        };
      });
      await page.goto(site.url);
      return { server, site, observer, page, hide: (hidden) => page.evaluate((it) => window.hide(it), hidden) };
    }

    for (const per of ['browser', 'tab']) {
      test(`a tab that is hidden is not counted until it is seen again, per="${per}"`, async (t) => {
        const { site, observer, page, hide } = await visited(
          t,
          `<user-count room="x" when="visible" per="${per}">–</user-count>
           <user-count id="y" room="y" per="${per}">–</user-count>`,
        );
        await elementShows(page, '2');
        await hide(true);
        await elementShows(page, '2', 'closed');
        await eventually('what the observer was told', () => observer.history, [1, 2, 1]);
        await elementShows(page, '1', 'live', '#y');
        await hide(false);
        await elementShows(page, '2');
        assert.deepEqual(observer.history, [1, 2, 1, 2]);
        assert.equal(site.streams(), 1);
      });
    }

    test('nobody is told of a tab that is hidden for a moment', async (t) => {
      const { server, observer, page, hide } = await visited(
        t,
        '<user-count room="x" when="visible">–</user-count>',
      );
      await elementShows(page, '2');
      for (let times = 0; times < 5; times += 1) {
        await hide(true);
        await hide(false);
      }
      // Longer than the moment. Whoever comes next is told after all that came before.
      const since = Date.now();
      await eventually('the time', () => Date.now(), (now) => now > since + 2500);
      await visit(t, server, 'x');
      await elementShows(page, '3');
      assert.deepEqual(observer.history, [1, 2, 3]);
    });

    test('watch() takes it, too', async (t) => {
      const { server, page, hide } = await visited(t, '');
      await page.evaluate(() => headcount.watch({ room: 'x', when: 'visible' }, () => {}));
      const counts = (count) => eventually('/count', async () => (await server.count('x')).count, count);
      await counts(2);
      await hide(true);
      await counts(1);
      await hide(false);
      await counts(2);
    });
  });
}
