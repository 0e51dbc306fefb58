// A visitor without any library: what is on the wire, taken literally. It is
// also the tests' observer, who knows what everyone in a room is told.

import { get } from 'node:http';
import { eventually } from './wait.mjs';

const FIRST = /^retry: \d+\nid: [0-9a-f]{32}\nevent: user count\ndata: (\d+)$/;
const LATER = /^event: user count\ndata: (\d+)$/;
const FAREWELL = /^retry: \d+$/;

/**
 * Reads text as a stream of events and appends to `history`: each number, the
 * farewell (when to come back), or a sentence about what is against the contract.
 */
export function reader(history) {
  let rest = '';
  let pattern = FIRST;
  return (text) => {
    const frames = (rest + text).split('\n\n');
    rest = frames.pop();
    for (const frame of frames) {
      history.push(taken(frame, pattern));
      pattern = LATER;
    }
  };
}

function taken(frame, pattern) {
  const number = pattern.exec(frame)?.[1];
  if (number) return Number(number);
  return FAREWELL.test(frame) ? 'a farewell' : `not an event of the contract: ${frame}`;
}

/**
 * Joins a room of `server` until `leave()` or the end of the test `t`.
 * `history` is all that the visitor was told, in order, from its own arrival.
 */
export async function visit(t, server, room) {
  const history = [];
  let left = false;
  const tell = (what) => left || history.push(what);
  const request = get(server.events(room), { agent: false }, (response) => {
    if (response.statusCode !== 200) tell(`status ${response.statusCode}`);
    response.setEncoding('utf8');
    response.on('data', reader(history));
    response.on('end', () => tell('the end'));
    response.on('error', (error) => tell(error.message));
  });
  request.on('error', (error) => tell(error.message));
  const leave = () => {
    left = true;
    request.destroy();
  };
  t.after(leave);
  await eventually("a visitor's first number", () => history[0], Number.isInteger);
  return { history, leave };
}
