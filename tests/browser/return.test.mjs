// The page when the server goes, or the way to it: it says so in time, and comes
// back by itself. Nobody touches the page in these tests once it is open.

import assert from 'node:assert/strict';
import { once } from 'node:events';
import { createServer } from 'node:http';
import { describe, test } from 'node:test';
import { setTimeout as pause } from 'node:timers/promises';
import { startServer } from '../support/server.mjs';
import { PAGE, startSite } from '../support/site.mjs';
import { visit } from '../support/visitor.mjs';
import { eventually } from '../support/wait.mjs';
import { startWire } from '../support/wire.mjs';
import {
  BROWSERS,
  RETURN_MS,
  SETTLING,
  elementShows,
  is,
  live,
  partial,
  shows,
  text,
  useBrowser,
} from './browsers.mjs';

const SILENT = { args: ['--keep-alive', '1h'] };

const counts = (server, count) =>
  eventually('/count', () => server.count(), { room: 'lobby', count });

for (const browser of BROWSERS) {
  describe(`the page comes back, in ${browser.name}`, { concurrency: 8, timeout: 180_000 }, () => {
    const newContext = useBrowser(browser);

    for (const [signal, ending] of [['SIGTERM', 0], ['SIGKILL', 'SIGKILL']]) {
      test(`after a restart by ${signal}`, async (t) => {
        const first = await startServer(t, SILENT);
        const page = await (await newContext(t)).newPage();
        await page.goto(first.page());
        // What it shows at the end must not be what it showed before.
        const other = await visit(t, first);
        await shows(page, live(2));

        first.signal(signal);
        await first.ends(ending);
        await is(page, 'stale');
        assert.match(await text(page, '#status'), /reconnecting/i);
        other.leave();

        const second = await startServer(t, { ...SILENT, port: first.port });
        await shows(page, live(1), RETURN_MS);
        await counts(second, 1);
      });
    }

    test('after a restart, with a number that is partial at first', async (t) => {
      const first = await startServer(t, SILENT);
      const page = await (await newContext(t)).newPage();
      await page.evaluateOnNewDocument(() => {
        window.states = [];
        addEventListener('user-count', ({ detail }) => {
          if (detail.state !== window.states.at(-1)) window.states.push(detail.state);
        });
      });
      await page.goto(first.page());
      const other = await visit(t, first);
      await shows(page, live(2));

      first.signal('SIGKILL');
      await first.ends('SIGKILL');
      await is(page, 'stale');
      other.leave();

      await startServer(t, { ...SETTLING, port: first.port });
      await shows(page, partial(1), RETURN_MS);
      await shows(page, live(1), RETURN_MS);
      const states = ['connecting', 'live', 'stale', 'partial', 'live'];
      assert.deepEqual(await page.evaluate(() => window.states), states);
    });

    test('when the port answers 503 in place of the server', async (t) => {
      const first = await startServer(t, SILENT);
      const page = await (await newContext(t)).newPage();
      await page.goto(first.page());
      const other = await visit(t, first);
      await shows(page, live(2));

      first.signal('SIGTERM');
      await first.ends(0);
      other.leave();
      const refusals = await refuse(t, first.port);
      // One is the browser's own try. The page must have tried again, twice.
      await eventually('the number of refused tries', refusals.count, (n) => n >= 3, RETURN_MS);
      await is(page, 'stale');
      await refusals.stop();

      const second = await startServer(t, { ...SILENT, port: first.port });
      await shows(page, live(1), RETURN_MS);
      await counts(second, 1);
    });

    test('from a proxy that answered 503 for 20 seconds', async (t) => {
      const server = await startServer(t, SILENT);
      const observer = await visit(t, server);
      const site = await startSite(t, server);
      const page = await (await newContext(t)).newPage();
      await page.goto(site.url);
      await shows(page, live(2));

      site.refuse();
      await is(page, 'stale');
      await pause(20_000); // as the specification has it
      await is(page, 'stale');
      // Twenty seconds of tries without a pause would be thousands.
      const refusals = site.refusals();
      assert(refusals >= 3 && refusals < 60, `${refusals} tries within 20 s`);
      site.relent();
      await shows(page, live(2), RETURN_MS);
      assert.deepEqual(observer.history, [1, 2, 1, 2]);
    });

    test('from a server that hangs, after it said that the number is stale', async (t) => {
      const server = await startServer(t, { args: ['--keep-alive', '1s'] });
      const page = await (await newContext(t)).newPage();
      await page.goto(server.page());
      await shows(page, live(1));

      // Before the first heartbeat: the interval is known all the same.
      server.signal('SIGSTOP');
      // 2.5 intervals, and what a busy machine adds.
      await is(page, 'stale', 5000);
      assert.match(await text(page, '#status'), /stale/i);

      server.signal('SIGCONT');
      await shows(page, live(1), RETURN_MS);
      // The tries that it made meanwhile are not people.
      await counts(server, 1);
    });

    test('over a network that was cut, and came back without the old connections', async (t) => {
      const server = await startServer(t, { args: ['--keep-alive', '1s'] });
      const wire = await startWire(t, server);
      const page = await (await newContext(t)).newPage();
      await page.goto(wire.url);
      await shows(page, live(1));

      wire.cut();
      await is(page, 'stale', 5000);
      wire.mend();
      await is(page, 'live', RETURN_MS);
    });

    test('a server that says little is not taken for one that is gone', async (t) => {
      const server = await startServer(t, { args: ['--keep-alive', '20s'] });
      const page = await (await newContext(t)).newPage();
      await page.evaluateOnNewDocument(() => {
        window.states = [];
        addEventListener('user-count', ({ detail }) => window.states.push(detail.state));
      });
      await page.goto(server.page());
      await shows(page, live(1));
      await pause(16_000); // longer than the server's default
      assert.deepEqual(await page.evaluate(() => window.states), ['connecting', 'live']);
    });

    test('a page that was opened while the server is away shows the number once it is there', async (t) => {
      const server = await startServer(t, SILENT);
      const site = await startSite(t, server, {}, (request, response) => {
        if (!/^\/(events|count)/.test(request.url) || site.isThere) return false;
        response.writeHead(502).end();
        return true;
      });
      const page = await (await newContext(t)).newPage();
      await page.goto(site.url);
      await shows(page, { sentence: '– people are here now', state: 'connecting' });
      site.isThere = true;
      await shows(page, live(1), RETURN_MS);
    });

    test('an answer that is no stream is not the end either', async (t) => {
      const server = await startServer(t, SILENT);
      let answers = 0;
      const site = await startSite(t, server, { '/': PAGE('<user-count>–</user-count>') },
        (request, response) => {
          if (!request.url.startsWith('/events') || answers === 3) return false;
          answers += 1;
          response.setHeader('content-type', 'text/html').end('<h1>Please log in</h1>');
          return true;
        });
      const page = await (await newContext(t)).newPage();
      await page.goto(site.url);
      await elementShows(page, '1', 'live', undefined, RETURN_MS);
    });

    test('the network is said to be back, and nobody waits any longer', async (t) => {
      const server = await startServer(t, SILENT);
      const site = await startSite(t, server);
      const page = await (await newContext(t)).newPage();
      // Chance says: always the longest wait.
      await page.evaluateOnNewDocument(() => {
        Math.random = () => 0.999;
      });
      await page.goto(site.url);
      await shows(page, live(1));
      site.refuse();
      // Then the next wait is 16 s.
      await eventually('the refusals', site.refusals, (count) => count >= 5, RETURN_MS);
      site.relent();
      await page.evaluate(() => dispatchEvent(new Event('online')));
      await shows(page, live(1), 5000);
    });
  });
}

/** Answers everything on a port with 503, until it is stopped. */
async function refuse(t, port) {
  let refused = 0;
  const server = createServer((request, response) => {
    if (request.url.startsWith('/events')) refused += 1;
    response.writeHead(503, { connection: 'close' }).end();
  });
  const listen = async () => {
    server.listen(port, '127.0.0.1');
    await once(server, 'listening');
    return true;
  };
  await eventually('listening on the port that was left', listen, true);
  const stop = async () => {
    if (!server.listening) return;
    server.closeAllConnections();
    server.close();
    await once(server, 'close');
  };
  t.after(stop);
  return { count: () => refused, stop };
}
