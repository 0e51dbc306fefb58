// Server-Sent Events with nothing but Node: the open responses are a Set, and
// its size is the count.

import { createServer } from 'node:http';

const KEEP_ALIVE_MS = 15_000;

const clients = new Set();

function write(text) {
  for (const response of clients) response.write(text);
}

function tellAll() {
  write(`event: user count\ndata: ${clients.size}\n\n`);
}

const server = createServer((request, response) => {
  if (request.method !== 'GET' || request.url !== '/events') {
    response.writeHead(404).end();
    return;
  }
  response.writeHead(200, {
    'Content-Type': 'text/event-stream',
    'Cache-Control': 'no-cache',
    Connection: 'keep-alive',
  });
  clients.add(response);
  tellAll();

  response.on('close', () => {
    clients.delete(response);
    tellAll();
  });
});

setInterval(() => write(': keep-alive\n\n'), KEEP_ALIVE_MS);

server.listen({ port: Number(process.env.PORT), host: '127.0.0.1', backlog: 4096 });
