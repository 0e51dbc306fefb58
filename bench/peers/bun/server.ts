// Server-Sent Events as Bun's guide writes them for events that come from
// elsewhere: a ReadableStream that is left by `cancel`. The open streams are a Set,
// and its size is the count.

const KEEP_ALIVE_MS = 15_000;

const clients = new Set<ReadableStreamDefaultController>();

function write(text: string) {
  for (const client of clients) client.enqueue(text);
}

function tellAll() {
  write(`event: user count\ndata: ${clients.size}\n\n`);
}

Bun.serve({
  hostname: '127.0.0.1',
  port: process.env.PORT,
  routes: {
    '/events': (request, server) => {
      server.timeout(request, 0); // or Bun ends a stream that is silent for 10 s

      let client: ReadableStreamDefaultController;
      const stream = new ReadableStream({
        start(controller) {
          client = controller;
          clients.add(client);
          tellAll();
        },
        cancel() {
          clients.delete(client);
          tellAll();
        },
      });
      return new Response(stream, {
        headers: {
          'Content-Type': 'text/event-stream',
          'Cache-Control': 'no-cache',
        },
      });
    },
  },
});

setInterval(() => write(': keep-alive\n\n'), KEEP_ALIVE_MS);
