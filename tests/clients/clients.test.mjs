// Headcount as real clients see it. Each goes through the same stories; what
// the numbers must be is known from who was sent in and out, and each history is
// compared as a whole: nothing missing, nothing twice, nothing besides.

import { describe, test } from 'node:test';
import { clients } from './drivers.mjs';
import { startServer } from '../support/server.mjs';
import { visit } from '../support/visitor.mjs';
import { eventually } from '../support/wait.mjs';

// Needs encoding, so that a client that encodes twice or never is found out.
const ROOM = 'Café & Bar/#1';

// Without heartbeats a number is told only when it changes.
const SILENT = { args: ['--keep-alive', '1h'] };

const counts = (server, count) =>
  eventually('/count', () => server.count(ROOM), { room: ROOM, count });
const sees = (who, visitor, history) =>
  eventually(`what ${who} was told`, () => visitor.history, history);

describe('a real client', { concurrency: 4, timeout: 60_000 }, () => {
  for (const { name, join } of clients) {
    test(`${name} joins, is counted, sees another come and go, and leaves`, async (t) => {
      const server = await startServer(t, SILENT);
      const resident = await visit(t, server, ROOM);

      const client = join(t, server.events(ROOM));
      await sees(name, client, [2]);
      await sees('the resident', resident, [1, 2]);
      await counts(server, 2);

      const other = await visit(t, server, ROOM);
      await sees('the other', other, [3]);
      await sees(name, client, [2, 3]);
      await sees('the resident', resident, [1, 2, 3]);
      await counts(server, 3);

      other.leave();
      await sees(name, client, [2, 3, 2]);
      await sees('the resident', resident, [1, 2, 3, 2]);
      await counts(server, 2);

      client.leave();
      await sees('the resident', resident, [1, 2, 3, 2, 1]);
      await counts(server, 1);
      await sees(name, client, [2, 3, 2]);
    });
  }

  for (const { name, join } of clients) {
    test(`${name} is told numbers alone while they are partial, for it does not ask`, async (t) => {
      const server = await startServer(t, { args: [...SILENT.args, '--settle', '1h'] });
      const client = join(t, server.events(ROOM));
      await sees(name, client, [1]);
      await visit(t, server, ROOM);
      await sees(name, client, [1, 2]);
      const partial = { room: ROOM, count: 2, partial: true };
      await eventually('/count', () => server.count(ROOM), partial);
    });
  }

  for (const { name, join } of clients.filter((client) => client.isProcess)) {
    test(`${name}, killed without a warning, is uncounted`, async (t) => {
      const server = await startServer(t, SILENT);
      const resident = await visit(t, server, ROOM);
      const client = join(t, server.events(ROOM));
      await sees(name, client, [2]);

      client.process.child.kill('SIGKILL');
      await client.process.ends('SIGKILL');
      await sees('the resident', resident, [1, 2, 1]);
      await counts(server, 1);
    });
  }

  for (const { name, join } of clients.filter((client) => client.endsWithStream)) {
    test(`${name} is told farewell, and a proper end, when the server stops`, async (t) => {
      const server = await startServer(t, SILENT);
      const client = join(t, server.events(ROOM));
      await sees(name, client, [1]);

      server.signal('SIGTERM');
      await server.ends(0);
      if (client.process) {
        await client.process.ends(0);
        await sees(name, client, [1, 'a farewell']);
      } else {
        await sees(name, client, [1, 'a farewell', 'the end']);
      }
    });
  }

  for (const { name, join } of clients.filter((client) => client.returns)) {
    test(`${name} comes back by itself after a restart`, async (t) => {
      const first = await startServer(t, SILENT);
      const client = join(t, first.events(ROOM));
      await sees(name, client, [1]);

      first.signal('SIGTERM');
      await first.ends(0);
      await sees(name, client, [1, 'an error']);
      const second = await startServer(t, { ...SILENT, port: first.port });
      // One error for the end, and one for each try while nobody listened.
      await eventually(
        `the numbers that ${name} was told`,
        () => client.history.filter((entry) => entry !== 'an error'),
        [1, 1],
      );
      await counts(second, 1);
    });
  }
});
