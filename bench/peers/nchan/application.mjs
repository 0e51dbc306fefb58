// The application behind nchan: nginx tells it of each client that came or left, and
// it has the new number published. One connection carries all that it publishes, so
// that no number overtakes another.

import { Agent, createServer, request } from 'node:http';

const publisher = new Agent({ keepAlive: true, maxSockets: 1 });
const CHANGES = { '/joined': 1, '/left': -1 };

let users = 0;

function publish(number) {
  const options = { socketPath: 'publisher', path: '/publish', method: 'POST' };
  request({ ...options, agent: publisher }, (response) => response.resume()).end(String(number));
}

createServer((request, response) => {
  users += CHANGES[request.url];
  publish(users);
  response.end();
}).listen({ path: 'application', writableAll: true }); // nginx's worker is another user
