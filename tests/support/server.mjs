// The server under test: a process of its own, on a port of its own.

import assert from 'node:assert/strict';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';
import { run } from './process.mjs';
import { eventually } from './wait.mjs';

const BINARY =
  process.env.HEADCOUNT_BIN ??
  fileURLToPath(new URL('../../target/debug/headcount', import.meta.url));

/** The developer's own settings are not the test's. */
const SETTINGS = Object.fromEntries(
  Object.keys(process.env)
    .filter((name) => name.startsWith('HEADCOUNT_'))
    .map((name) => [name, undefined]),
);

/**
 * Starts a server that ends with the test `t`. `port` is for one that shall
 * come where another was.
 */
export async function startServer(t, { port = 0, args = [] } = {}) {
  let server;
  const start = async () => {
    server = await tryStart(t, port, args);
    return server.said;
  };
  const isListening = (said) => said?.startsWith('listening on ');
  if (port === 0) {
    assert(isListening(await start()), `the server does not start, it says: ${server.said}`);
  } else {
    // The port is free but for a passing connection that was given its number.
    await eventually('what the server says at its start', start, isListening);
  }
  const url = server.said.replace('listening on ', '');
  const operator = 'listening for the operator on ';
  const at = (path, room) => `${url}${path}${room ? `?${new URLSearchParams({ room })}` : ''}`;
  return {
    url,
    port: Number(new URL(url).port),
    /** Where it answers the operator, if it does. */
    admin: server.messages.find((said) => said.startsWith(operator))?.slice(operator.length),
    /** The address of the stream, or of the page, of a room. */
    events: (room) => at('/events', room),
    page: (room, path = '/') => at(path, room),
    /** What /count says. */
    count: async (room) => {
      const response = await fetch(at('/count', room));
      assert.equal(response.status, 200);
      return response.json();
    },
    signal: (name) => assert(server.child.kill(name), `the server is there for a ${name}`),
    ends: server.ends,
  };
}

/** Starts a server and waits until it says where it listens, or ends. */
async function tryStart(t, port, args) {
  const always = ['--listen', `127.0.0.1:${port}`, '--log-format', 'json'];
  // Nobody was here before: its numbers are whole from the first one on.
  const env = { ...SETTINGS, RUST_LOG: 'info', HEADCOUNT_SETTLE: '0s' };
  const server = run(t, BINARY, [...always, ...args], env);
  server.child.stdout.resume();
  const messages = [];
  const listens = () => messages.find((said) => said.startsWith('listening on '));
  const lines = createInterface({ input: server.child.stderr });
  lines.on('line', (line) => messages.push(message(line)));
  await eventually(
    'what the server says at its start',
    () => listens() !== undefined || server.hasEnded(),
    true,
  );
  return { ...server, messages, said: listens() ?? messages[0] };
}

function message(line) {
  try {
    return JSON.parse(line).message;
  } catch {
    return line;
  }
}
