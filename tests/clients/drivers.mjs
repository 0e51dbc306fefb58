// The real clients, each behind the same few words: `join(t, url)` gives the
// `history` of what the client was told and a way to `leave()`, and for one that
// is a process, the process.

import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';
import { EventSource as NpmEventSource } from 'eventsource';
import { EventSource as UndiciEventSource } from 'undici';
import { run } from '../support/process.mjs';
import { reader } from '../support/visitor.mjs';

const path = (relative) => fileURLToPath(new URL(relative, import.meta.url));

function curl(t, url) {
  const history = [];
  const process = run(t, 'curl', ['-N', '-sS', url]);
  process.child.stdout.on('data', reader(history));
  process.child.stderr.on('data', (text) => history.push(text));
  return { history, leave: () => process.child.kill('SIGINT'), process };
}

function httpxSse(t, url) {
  const history = [];
  const process = run(t, path('../../target/venv/bin/python'), [
    path('httpx_sse_client.py'),
    url,
  ]);
  createInterface({ input: process.child.stdout }).on('line', (line) => {
    const { event, data, retry } = JSON.parse(line);
    // Against the standard, httpx-sse makes an event of a `retry` that stands alone.
    const isFarewell = event === 'message' && data === '' && retry !== null;
    history.push(isFarewell ? 'a farewell' : told(event, data));
  });
  process.child.stderr.on('data', (text) => history.push(text));
  return { history, leave: () => process.child.kill('SIGINT'), process };
}

function fetchStream(t, url) {
  const history = [];
  const controller = new AbortController();
  const leave = () => controller.abort();
  t.after(leave);
  const read = async () => {
    const response = await fetch(url, { signal: controller.signal });
    const tell = reader(history);
    for await (const text of response.body.pipeThrough(new TextDecoderStream())) tell(text);
    history.push('the end');
  };
  read().catch((error) => controller.signal.aborted || history.push(error.message));
  return { history, leave };
}

const eventSource = (EventSource) => (t, url) => {
  const history = [];
  const source = new EventSource(url);
  const leave = () => source.close();
  t.after(leave);
  for (const name of ['user count', 'message']) {
    source.addEventListener(name, (event) => history.push(told(event.type, event.data)));
  }
  source.addEventListener('error', () => history.push('an error'));
  return { history, leave };
};

/** A count as a number; whatever else there is as a sentence about it. */
function told(event, data) {
  const isCount = event === 'user count' && /^\d+$/.test(data);
  return isCount ? Number(data) : `not an event of the contract: ${event}: ${data}`;
}

export const clients = [
  { name: 'curl -N', join: curl, isProcess: true, endsWithStream: true },
  { name: 'httpx-sse', join: httpxSse, isProcess: true, endsWithStream: true },
  { name: 'fetch', join: fetchStream, endsWithStream: true },
  { name: 'the eventsource package', join: eventSource(NpmEventSource), returns: true },
  { name: "undici's EventSource", join: eventSource(UndiciEventSource), returns: true },
];
