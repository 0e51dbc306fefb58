// The page when the server goes: it says so, and comes back by itself. Nobody
// touches the page in these tests once it is open.

import assert from 'node:assert/strict';
import { once } from 'node:events';
import { createServer } from 'node:http';
import { describe, test } from 'node:test';
import { startServer } from '../support/server.mjs';
import { visit } from '../support/visitor.mjs';
import { eventually } from '../support/wait.mjs';
import { RETURN_MS, is, live, received, shows, useBrowser } from './chromium.mjs';

const SILENT = { args: ['--keep-alive', '1h'] };

const counts = (server, count) =>
  eventually('/count', () => server.count(), { room: 'lobby', count });

describe('the page comes back by itself', { concurrency: 4, timeout: 180_000 }, () => {
  const newContext = useBrowser();

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
      await is(page, 'reconnecting');
      assert.match(await page.textContent('#status'), /reconnecting/i);
      other.leave();

      const second = await startServer(t, { ...SILENT, port: first.port });
      await shows(page, live(1), RETURN_MS);
      await counts(second, 1);
    });
  }

  test('after a while of 503, which no browser outlasts', async (t) => {
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
    await is(page, 'reconnecting');
    await refusals.stop();

    const second = await startServer(t, { ...SILENT, port: first.port });
    await shows(page, live(1), RETURN_MS);
    await counts(second, 1);
  });

  test('from a server that hangs, after it said that the number is stale', async (t) => {
    const server = await startServer(t, { args: ['--keep-alive', '500ms'] });
    const page = await (await newContext(t)).newPage();
    const events = await received(page);
    await page.goto(server.page());
    await shows(page, live(1));
    // From heartbeats the page learns how soon silence is too long.
    await eventually('the number of heartbeats', events, (count) => count >= 4);

    server.signal('SIGSTOP');
    // 2.5 keep-alives, of at least a second each, and what a busy machine adds.
    await is(page, 'stale', 10_000);
    assert.match(await page.textContent('#status'), /stale/i);

    server.signal('SIGCONT');
    await shows(page, live(1), RETURN_MS);
    // The tries that it made meanwhile are not people.
    await counts(server, 1);
  });
});

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
