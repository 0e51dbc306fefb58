// Processes that a test starts, and that do not outlive it.

import { spawn } from 'node:child_process';
import { eventually } from './wait.mjs';

const running = new Set();

// The last resort, for when the test run itself is told to end.
process.on('exit', () => running.forEach((child) => child.kill('SIGKILL')));
for (const [signal, number] of [['SIGHUP', 1], ['SIGINT', 2], ['SIGTERM', 15]]) {
  process.once(signal, () => process.exit(128 + number));
}

/**
 * Starts a program, which is killed when the test `t` ends, however it ends.
 * Its output is text.
 */
export function run(t, program, args, env = {}) {
  const child = spawn(program, args, {
    stdio: ['ignore', 'pipe', 'pipe'],
    env: { ...process.env, NO_PROXY: '127.0.0.1', no_proxy: '127.0.0.1', ...env },
  });
  running.add(child);
  let ended = 'it still runs';
  const gone = new Promise((resolve) => {
    const end = (how) => {
      running.delete(child);
      ended = how;
      resolve();
    };
    child.once('error', (error) => end(error.message));
    child.once('close', (code, signal) => end(signal ?? code));
  });
  child.stdout.setEncoding('utf8');
  child.stderr.setEncoding('utf8');
  t.after(async () => {
    child.kill('SIGKILL');
    await gone;
  });
  /** Waits until the program has ended as `expected`: an exit code or a signal's name. */
  const ends = (expected) =>
    eventually(`the end of ${program} (${child.pid})`, () => ended, expected);
  return { child, ends, hasEnded: () => !running.has(child) };
}
