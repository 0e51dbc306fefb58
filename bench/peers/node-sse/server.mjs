// Server-Sent Events with nothing but Node: the open responses are a Set, and
// its size is the count. With TLS_CERT and TLS_KEY it speaks TLS, with HTTP2 that.

import { readFileSync } from 'node:fs';
import * as http from 'node:http';
import * as http2 from 'node:http2';
import * as https from 'node:https';

const KEEP_ALIVE_MS = 15_000;
const { HTTP2, PORT, TLS_CERT, TLS_KEY } = process.env;

const clients = new Set();

function write(text) {
  for (const response of clients) response.write(text);
}

function tellAll() {
  write(`event: user count\ndata: ${clients.size}\n\n`);
}

function answer(request, response) {
  if (request.method !== 'GET' || request.url !== '/events') {
    response.writeHead(404).end();
    return;
  }
  response.writeHead(200, {
    'Content-Type': 'text/event-stream',
    'Cache-Control': 'no-cache',
    ...(HTTP2 ? {} : { Connection: 'keep-alive' }),
  });
  clients.add(response);
  tellAll();

  response.on('close', () => {
    clients.delete(response);
    tellAll();
  });
}

function start() {
  if (!TLS_CERT) return (HTTP2 ? http2 : http).createServer(answer);
  const options = { cert: readFileSync(TLS_CERT), key: readFileSync(TLS_KEY) };
  if (!HTTP2) return https.createServer(options, answer);
  return http2.createSecureServer({ ...options, allowHTTP1: true }, answer);
}

setInterval(() => write(': keep-alive\n\n'), KEEP_ALIVE_MS);

start().listen({ port: Number(PORT), host: '127.0.0.1', backlog: 4096 });
