// Many rooms with people in them, on few connections.

import { get } from 'node:http';

const AT_ONCE = 32; // rooms that one stream may be of

/** Has one person more in each of these rooms, until `leave()` or the end of the test `t`. */
export function fill(t, server, rooms) {
  const streams = [];
  for (let at = 0; at < rooms.length; at += AT_ONCE) {
    const query = new URLSearchParams(rooms.slice(at, at + AT_ONCE).map((room) => ['room', room]));
    const stream = get(`${server.url}/events?${query}`, { agent: false }, (response) => {
      response.on('error', () => {});
      response.resume();
    });
    // The server may end it first.
    stream.on('error', () => {});
    streams.push(stream);
  }
  const leave = () => streams.forEach((stream) => stream.destroy());
  t.after(leave);
  return { leave };
}
