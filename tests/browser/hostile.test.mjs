// A page on another origin that does all it can: no observer's number ever changes.

import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { startServer } from '../support/server.mjs';
import { startSite } from '../support/site.mjs';
import { visit } from '../support/visitor.mjs';
import { eventually } from '../support/wait.mjs';
import { BROWSERS, useBrowser } from './browsers.mjs';

const SILENT = { args: ['--keep-alive', '1h'] };

/** What a page can do with an address. Each has an end that the page can see. */
const WAYS = {
  img: (url, done) => {
    const image = new Image();
    image.onload = image.onerror = done;
    image.src = url;
  },
  script: (url, done) => {
    const script = document.createElement('script');
    script.onload = script.onerror = done;
    script.src = url;
    document.head.append(script);
  },
  stylesheet: (url, done) => {
    const link = document.createElement('link');
    link.rel = 'stylesheet';
    link.onload = link.onerror = done;
    link.href = url;
    document.head.append(link);
  },
  iframe: (url, done) => {
    const frame = document.createElement('iframe');
    frame.onload = frame.onerror = done;
    frame.src = url;
    document.body.append(frame);
  },
  'fetch no-cors': (url, done) => {
    fetch(url, { mode: 'no-cors' }).then(done, done);
  },
  // The server answers these by `--allow-origin`.
  'fetch with CORS': (url, done) => {
    fetch(url).then(done, done);
  },
  EventSource: (url, done) => {
    const source = new EventSource(url);
    source.onerror = () => source.readyState === EventSource.CLOSED && done();
  },
};

for (const browser of BROWSERS) {
  describe(`a hostile page, in ${browser.name}`, { concurrency: 4, timeout: 60_000 }, () => {
    const newContext = useBrowser(browser);

    for (const [way, use] of Object.entries(WAYS)) {
      // Another port is another origin of the same site; another name is another site.
      for (const host of ['127.0.0.1', 'localhost']) {
        test(`${way}, from another origin at ${host}, changes no number`, async (t) => {
          const server = await startServer(t, SILENT);
          const observer = await visit(t, server);
          const site = await startSite(t, server, { '/': '<!doctype html><body>' });
          const page = await (await newContext(t)).newPage();
          await page.goto(site.url.replace('127.0.0.1', host));
          const url = server.events();
          await page.evaluate(
            (address, code) =>
              new Promise((resolve) => new Function(`return ${code}`)()(address, resolve)),
            url,
            use.toString(),
          );
          // One who comes afterwards is told of after all that came before.
          await visit(t, server);
          await eventually('what the observer was told', () => observer.history.at(-1), 2);
          assert.deepEqual(observer.history, [1, 2]);
        });
      }
    }
  });
}
