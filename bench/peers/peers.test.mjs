// Each peer counts as it says: two clients that come see 1 and 2, and the one that
// stays sees 1 again. A peer that isn't installed (bench/setup.sh) is skipped.

import assert from 'node:assert/strict';
import { execFileSync, spawn } from 'node:child_process';
import { existsSync } from 'node:fs';
import { mkdtemp, readdir, rm } from 'node:fs/promises';
import * as http from 'node:http';
import * as http2 from 'node:http2';
import * as https from 'node:https';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { eventually } from '../../tests/support/wait.mjs';

const at = (path) => fileURLToPath(new URL(path, import.meta.url));
const hasPackage = (name) => existsSync(at(`node_modules/${name}`));

const PLAIN = { title: '' };
const ALL = [
  PLAIN,
  { title: ' over TLS', tls: true },
  { title: ' over HTTP/2', http2: true },
  { title: ' over TLS and HTTP/2', tls: true, http2: true },
];

const PEERS = [
  { name: 'socketio', visit: visitSocketIo, installed: hasPackage('socket.io') },
  { name: 'node-sse', visit: visitEvents, installed: true, ways: ALL },
  { name: 'better-sse', visit: visitEvents, installed: hasPackage('better-sse') },
  { name: 'bun', visit: visitEvents, installed: hasPackage('bun') },
  {
    name: 'nchan',
    visit: visitEvents,
    installed: existsSync('/usr/lib/nginx/modules/ngx_nchan_module.so'),
    ways: ALL,
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

/** What tells a peer to speak by a way, as the bench does. */
async function environment(t, way) {
  const variables = way.http2 ? { HTTP2: '1' } : {};
  if (!way.tls) return variables;
  const directory = await mkdtemp(join(tmpdir(), 'certificate-'));
  t.after(() => rm(directory, { recursive: true }));
  const [TLS_CERT, TLS_KEY] = [join(directory, 'cert.pem'), join(directory, 'key.pem')];
  const kind = ['-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:P-256', '-nodes'];
  const files = ['-keyout', TLS_KEY, '-out', TLS_CERT];
  const command = ['req', '-x509', '-subj', '/CN=bench', ...kind, ...files];
  execFileSync('openssl', command, { stdio: 'pipe', timeout: 20_000 });
  return { ...variables, TLS_CERT, TLS_KEY };
}

/** Starts a peer in a process group of its own, which ends with the test `t`. */
async function startPeer(t, name, way) {
  const port = await freePort();
  const variables = await environment(t, way);
  const directory = await mkdtemp(join(tmpdir(), 'peer-'));
  const child = spawn(at(`${name}/run`), {
    detached: true,
    stdio: ['ignore', 'pipe', 'pipe'],
    env: { ...process.env, ...variables, PORT: String(port), TMPDIR: directory },
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
    url: `http${way.tls ? 's' : ''}://127.0.0.1:${port}`,
    output: () => output,
    terminate: () => signal(child.pid, 'SIGTERM'),
    isRunning: () => signal(child.pid, 0),
    filesLeft: () => readdir(directory),
  };
}

/** Asks for the events: the head of the answer, its body, and how to leave. */
async function ask(t, url, way) {
  if (way.http2) {
    const session = http2.connect(url, { rejectUnauthorized: false });
    const leave = () => session.destroy();
    t.after(leave);
    const body = session.request({ ':path': '/events', accept: 'text/event-stream' });
    const headers = await new Promise((resolve, reject) => {
      session.once('error', reject);
      body.once('response', resolve).once('error', reject);
    });
    if (way.tls) {
      const { alpnProtocol, socket } = session;
      assert.deepEqual([alpnProtocol, socket.getProtocol()], ['h2', 'TLSv1.3']);
    }
    return { status: headers[':status'], type: headers['content-type'], body, leave };
  }
  const headers = { Accept: 'text/event-stream' };
  const options = { agent: false, rejectUnauthorized: false, headers };
  const request = (way.tls ? https : http).get(`${url}/events`, options);
  const leave = () => request.destroy();
  t.after(leave);
  const body = await new Promise((resolve, reject) => {
    request.once('response', resolve).on('error', reject);
  });
  return { status: body.statusCode, type: body.headers['content-type'], body, leave };
}

/** A client of Server-Sent Events: what it is told is its history. */
async function visitEvents(t, url, way) {
  const history = [];
  const { status, type, body, leave } = await ask(t, url, way);
  assert.equal(status, 200);
  assert.match(type, /^text\/event-stream\b/);
  let rest = '';
  body.on('error', () => {}); // it ends when the client leaves, or the server
  body.setEncoding('utf8').on('data', (text) => {
    const events = (rest + text).split('\n\n');
    rest = events.pop();
    history.push(...events.map(userCount).filter((number) => number !== undefined));
  });
  return { history, leave };
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
  const onEachWay = ({ ways = [PLAIN], ...peer }) => ways.map((way) => ({ ...peer, way }));
  for (const { name, visit, installed, way } of PEERS.flatMap(onEachWay)) {
    const skip = !installed && 'not installed';

    test(`${name}${way.title} tells everybody of who comes and goes`, { skip }, async (t) => {
      const peer = await startPeer(t, name, way);
      const sees = (who, visitor, history) =>
        eventually(`what ${who} of ${name} is told`, () => visitor.history, history);

      // Until the peer listens, who comes is turned away.
      const isThere = (visitor) => visitor !== undefined;
      const first = await eventually(name, () => visit(t, peer.url, way), isThere);
      await sees('the first', first, [1]);

      const second = await visit(t, peer.url, way);
      await sees('the second', second, [2]);
      await sees('the first', first, [1, 2]);

      second.leave();
      await sees('the first', first, [1, 2, 1]);

      const third = await visit(t, peer.url, way);
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
