// A site that has the server behind it, as a proxy would: pages of its own, and
// the rest is the server's. It can refuse, and it knows the streams that it carries.

import { once } from 'node:events';
import { createServer, request as ask } from 'node:http';

/** A page with this inside; it keeps what its elements tell in `told`. */
export const PAGE = (body, src = '/client.js') => `<!doctype html>
<html lang="en">
<meta charset="utf-8">
<title>Somebody's page</title>
<link rel="icon" href="data:,">
<script>
  window.told = [];
  addEventListener('user-count', ({ detail }) => told.push(detail));
</script>
<script defer src="${src}"></script>
${body}`;

/**
 * Starts a site that ends with the test `t`. `pages` are its own pages by their
 * paths; `answer(request, response)` may take any other request, and says so.
 */
export async function startSite(t, server, pages = {}, answer = () => false) {
  const streams = new Set();
  let refusing = false;
  let refusals = 0;
  const asked = [];
  const site = createServer((request, response) => {
    asked.push(request.url);
    const { pathname } = new URL(request.url, 'http://site');
    if (refusing) {
      refusals += 1;
      response.writeHead(503, { connection: 'close' }).end();
    } else if (Object.hasOwn(pages, pathname)) {
      response.setHeader('content-type', 'text/html').end(pages[pathname]);
    } else if (!answer(request, response)) {
      forward(server, request, response);
      if (pathname === '/events') {
        streams.add(response);
        response.once('close', () => streams.delete(response));
      }
    }
  });
  site.listen(0, '127.0.0.1');
  await once(site, 'listening');
  t.after(() => {
    site.closeAllConnections();
    site.close();
  });
  return {
    url: `http://127.0.0.1:${site.address().port}`,
    /** How many streams are open through the site now. */
    streams: () => streams.size,
    refusals: () => refusals,
    /** All that was asked for so far, in order. */
    asked,
    /** Ends all streams, and answers 503 to everything until `relent()`. */
    refuse: () => {
      refusing = true;
      streams.forEach((response) => response.destroy());
    },
    relent: () => {
      refusing = false;
    },
  };
}

/** For a site whose server is beneath a prefix, and nowhere else: what takes it off. */
export const beneath = (prefix) => (request, response) => {
  if (request.url.startsWith(`${prefix}/`)) request.url = request.url.slice(prefix.length);
  else response.writeHead(404).end();
  return response.headersSent;
};

/** Passes a request on to the server, and its answer back. */
export function forward(server, request, response) {
  const { method, headers, url } = request;
  const upstream = ask(server.url + url, { method, headers, agent: false }, (answer) => {
    response.writeHead(answer.statusCode, answer.headers);
    answer.pipe(response);
    answer.once('error', () => response.destroy());
  });
  upstream.once('error', () => {
    if (response.headersSent) response.destroy();
    else response.writeHead(502).end();
  });
  response.once('close', () => upstream.destroy());
  request.pipe(upstream);
}
