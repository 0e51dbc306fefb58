// The application behind nchan: nginx tells it of each client that came or left, and
// it asks nchan how many there are now and has that published.
//
// It doesn't count by itself: when a crowd leaves at once, more wants to be told than
// a socket's backlog takes, and nginx doesn't tell again. So a notice only says that
// something has changed, and those that come while a number is being published are
// answered together by the next.

import { Agent, createServer, request } from 'node:http';
import { json } from 'node:stream/consumers';

const publisher = {
  socketPath: 'publisher',
  path: '/publish',
  headers: { Accept: 'text/json' },
  agent: new Agent({ keepAlive: true }),
};

async function nchan(method, body) {
  const response = await new Promise((resolve, reject) => {
    request({ ...publisher, method }, resolve).on('error', reject).end(body);
  });
  const found = response.statusCode < 300;
  if (!found) response.resume();
  return found ? json(response) : { subscribers: 0 }; // 404: no channel, for want of anybody
}

let changed = false;
let publishing = false;

async function publish() {
  publishing = true;
  while (changed) {
    changed = false;
    const { subscribers } = await nchan('GET');
    await nchan('POST', String(subscribers));
  }
  publishing = false;
}

createServer((request, response) => {
  response.end();
  changed = true;
  if (!publishing) publish();
}).listen({ path: 'application', writableAll: true }); // nginx's worker is another user
