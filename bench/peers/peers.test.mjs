// Each peer counts as it says: two clients that come see 1 and 2, and the one that
// stays sees 1 again. A peer that isn't installed (bench/setup.sh) is skipped.

import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { existsSync } from 'node:fs';
import { mkdtemp, readdir, rm } from 'node:fs/promises';
import { get } from 'node:http';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { eventually } from '../../tests/support/wait.mjs';

const at = (path) => fileURLToPath(new URL(path, import.meta.url));
const hasPackage = (name) => existsSync(at(`node_modules/${name}`));

const PEERS = [
  { name: 'socketio', visit: visitSocketIo, installed: hasPackage('socket.io') },
  { name: 'node-sse', visit: visitEvents, installed: true },
  { name: 'better-sse', visit: visitEvents, installed: hasPackage('better-sse') },
  { name: 'bun', visit: visitEvents, installed: hasPackage('bun') },
  {
    name: 'nchan',
    visit: visitEvents,
    installed: existsSync('/usr/lib/nginx/modules/ngx_nchan_module.so'),
  },
];

const groups = new Set();

// The last resort, for when the test run itself is told to end.
process.on('exit', () => groups.forEach((leader) => signal(leader, 'SIGKILL')));
for (const [name, number] of [['SIGHUP', 1], ['SIGINT', 2], ['SIGTERM', 15]]) {
  process.once(name, () => process.exit(128 + number));
}

/** Signals a process group; says whether there was anybody in it. */
function signal(leader, name) {
  try {
    return process.kill(-leader, name);
  } catch (error) {
    assert.equal(error.code, 'ESRCH');
    return false;
  }
}

async function freePort() {
  const server = createServer().listen(0, '127.0.0.1');
  await new Promise((resolve) => server.once('listening', resolve));
  const { port } = server.address();
  await new Promise((resolve) => server.close(resolve));
  return port;
}

/** Starts a peer in a process group of its own, which ends with the test `t`. */
async function startPeer(t, name) {
  const port = await freePort();
  const directory = await mkdtemp(join(tmpdir(), 'peer-'));
  const child = spawn(at(`${name}/run`), {
    detached: true,
    stdio: ['ignore', 'pipe', 'pipe'],
    env: { ...process.env, PORT: String(port), TMPDIR: directory },
  });
  assert(child.pid, `${name}/run is a program`);
  groups.add(child.pid);
  let output = '';
  for (const stream of [child.stdout, child.stderr]) {
    stream.setEncoding('utf8').on('data', (text) => (output += text));
  }
  t.after(async () => {
    signal(child.pid, 'SIGKILL');
    await eventually(`${name}'s processes`, () => signal(child.pid, 0), false);
    groups.delete(child.pid);
    await rm(directory, { recursive: true });
  });
  return {
    url: `http://127.0.0.1:${port}`,
    output: () => output,
    terminate: () => signal(child.pid, 'SIGTERM'),
    isRunning: () => signal(child.pid, 0),
    filesLeft: () => readdir(directory),
  };
}

/** A client of Server-Sent Events: what it is told is its history. */
async function visitEvents(t, url) {
  const history = [];
  const headers = { Accept: 'text/event-stream' };
  const request = get(`${url}/events`, { agent: false, headers });
  t.after(() => request.destroy());
  const response = await new Promise((resolve, reject) => {
    request.once('response', resolve).on('error', reject);
  });
  assert.equal(response.statusCode, 200);
  assert.match(response.headers['content-type'], /^text\/event-stream\b/);
  let rest = '';
  response.on('error', () => {}); // it ends when the client leaves, or the server
  response.setEncoding('utf8').on('data', (text) => {
    const events = (rest + text).split('\n\n');
    rest = events.pop();
    history.push(...events.map(userCount).filter((number) => number !== undefined));
  });
  return { history, leave: () => request.destroy() };
}

/** The number in the text of an event, if it is one that tells the number. */
function userCount(text) {
  const line = /^(?<name>[^:]+): ?(?<value>.*)$/;
  const fields = text.split('\n').map((field) => field.match(line)?.groups);
  const value = (name) => fields.find((field) => field?.name === name)?.value;
  return value('event') === 'user count' ? JSON.parse(value('data')) : undefined;
}

async function visitSocketIo(t, url) {
  const { io } = await import('socket.io-client');
  const history = [];
  const socket = io(url, { transports: ['websocket'], reconnection: false, forceNew: true });
  t.after(() => socket.disconnect());
  socket.on('user count', (number) => history.push(number));
  await new Promise((resolve, reject) => {
    socket.once('connect', resolve).once('connect_error', reject);
  });
  return { history, leave: () => socket.disconnect() };
}

describe('a peer', { concurrency: 2, timeout: 60_000 }, () => {
  for (const { name, visit, installed } of PEERS) {
    const skip = !installed && 'not installed';

    test(`${name} tells everybody of who comes and goes`, { skip }, async (t) => {
      const peer = await startPeer(t, name);
      const sees = (who, visitor, history) =>
        eventually(`what ${who} of ${name} is told`, () => visitor.history, history);

      // Until the peer listens, who comes is turned away.
      const isThere = (visitor) => visitor !== undefined;
      const first = await eventually(name, () => visit(t, peer.url), isThere);
      await sees('the first', first, [1]);

      const second = await visit(t, peer.url);
      await sees('the second', second, [2]);
      await sees('the first', first, [1, 2]);

      second.leave();
      await sees('the first', first, [1, 2, 1]);

      const third = await visit(t, peer.url);
      await sees('the third', third, [2]);
      await sees('the first', first, [1, 2, 1, 2]);
      assert.deepEqual(second.history, [2]);

      peer.terminate();
      await eventually(`${name}'s processes`, peer.isRunning, false);
      assert.deepEqual(await peer.filesLeft(), []);
      assert.equal(peer.output(), '', `${name} logs nothing`);
    });
  }
});
