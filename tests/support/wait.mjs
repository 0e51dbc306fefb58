// Waiting for a condition with a deadline: the only way in which these tests
// wait for anything.

import assert from 'node:assert/strict';
import { setTimeout as pause } from 'node:timers/promises';
import { inspect, isDeepStrictEqual } from 'node:util';

/** How long what takes no time by design may take on a busy machine. */
const DEADLINE_MS = 20_000;

/**
 * Waits until `probe()` gives `expected`: a value to equal, or a predicate.
 * `what` is the subject of the sentence that is said when the deadline passes.
 */
export async function eventually(what, probe, expected, within = DEADLINE_MS) {
  const fits = (seen) =>
    typeof expected === 'function' ? expected(seen) : isDeepStrictEqual(seen, expected);
  const started = performance.now();
  for (;;) {
    let last;
    try {
      const seen = await probe();
      if (fits(seen)) return seen;
      last = inspect(seen, { breakLength: Infinity, maxArrayLength: 200 });
    } catch (error) {
      last = `${error.name}: ${error.message}`;
    }
    if (performance.now() - started > within) {
      const wanted = typeof expected === 'function' ? expected : inspect(expected);
      assert.fail(`expected ${what} to be ${wanted} within ${within} ms, last seen: ${last}`);
    }
    await pause(10);
  }
}
