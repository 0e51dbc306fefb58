// <user-count> and watch() on somebody's page, in real browsers.

import assert from 'node:assert/strict';
import { once } from 'node:events';
import { get } from 'node:http';
import { describe, test } from 'node:test';
import { gunzipSync } from 'node:zlib';
import { startServer } from '../support/server.mjs';
import { PAGE, beneath, startSite } from '../support/site.mjs';
import { visit } from '../support/visitor.mjs';
import { eventually } from '../support/wait.mjs';
import {
  BROWSERS,
  RETURN_MS,
  SETTLING,
  element,
  elementShows,
  goBack,
  leaveFor,
  text,
  told,
  useBrowser,
} from './browsers.mjs';

const SILENT = { args: ['--keep-alive', '1h'] };

/** A name that is too long for a room, as the element shortens it. */
function shortened(name) {
  const bytes = Buffer.from(name);
  let hash = 0xcbf29ce484222325n;
  for (const byte of bytes) hash = BigInt.asUintN(64, (hash ^ BigInt(byte)) * 0x100000001b3n);
  let start = '';
  for (const character of name) {
    if (Buffer.byteLength(start + character) > 111) break;
    start += character;
  }
  return `${start}~${hash.toString(16).padStart(16, '0')}`;
}

test('the script is less than 6 kB as it is sent, and scripts and styles are compressed', async (t) => {
  const server = await startServer(t);
  for (const file of ['client.js', 'page.js', 'words.js', 'style.css', 'client.d.ts']) {
    const answer = await ask(`${server.url}/${file}`, { 'accept-encoding': 'gzip, br' });
    assert.equal(answer.headers['content-encoding'], 'gzip', file);
    assert.match(answer.headers.vary, /accept-encoding/);
    const plain = await ask(`${server.url}/${file}`);
    assert.equal(plain.headers['content-encoding'], undefined);
    assert.deepEqual(gunzipSync(answer.body), plain.body);
    if (file === 'client.js') assert(answer.body.length < 6000, `it is ${answer.body.length} bytes`);
  }
});

/** What a server answers, as it is on the wire. */
async function ask(url, headers = {}) {
  const [response] = await once(get(url, { headers }), 'response');
  const chunks = [];
  for await (const chunk of response) chunks.push(chunk);
  return { headers: response.headers, body: Buffer.concat(chunks) };
}

for (const browser of BROWSERS) {
  describe(`the element, in ${browser.name}`, { concurrency: 6, timeout: 120_000 }, () => {
    const newContext = useBrowser(browser);

    /** A server, a site with one page at `/`, and a visitor's browser on that page. */
    async function visited(t, body, { args = SILENT.args, answer, path = '/' } = {}) {
      const server = await startServer(t, { args });
      const pages = { [path]: PAGE(body), '/elsewhere': '<!doctype html><p>Elsewhere' };
      const site = await startSite(t, server, pages, answer);
      const page = await (await newContext(t)).newPage();
      const wrong = [];
      page.on('pageerror', (error) => wrong.push(error.message));
      await page.goto(site.url + path);
      return { server, site, page, wrong };
    }

    /** Says one number to whoever listens. */
    const saying = (count) => ({
      answer(request, response) {
        if (!request.url.startsWith('/events')) return false;
        response.setHeader('content-type', 'text/event-stream');
        response.write(`event: user count\ndata: ${count}\n\n`);
        return true;
      },
    });

    const becomes = (server, room, count) =>
      eventually(`the count of ${room}`, async () => (await server.count(room)).count, count);

    test('two lines of HTML count the visitor of a room', async (t) => {
      const { server, page } = await visited(
        t,
        '<p><user-count room="/blog/hello">–</user-count> reading this now</p>',
      );
      await elementShows(page, '1');
      await becomes(server, '/blog/hello', 1);
      const other = await visit(t, server, '/blog/hello');
      await elementShows(page, '2');
      assert.equal(await text(page, 'p'), '2 reading this now');
      other.leave();
      await elementShows(page, '1');
      assert.equal((await server.count()).count, 0);
      const room = '/blog/hello';
      assert.deepEqual(await told(page), [
        { room, count: null, state: 'connecting' },
        { room, count: 1, state: 'live' },
        { room, count: 2, state: 'live' },
        { room, count: 1, state: 'live' },
      ]);
    });

    test('the fallback text stays until the first number', async (t) => {
      let say;
      const { page } = await visited(t, '<user-count>some</user-count>', {
        answer(request, response) {
          if (!request.url.startsWith('/events')) return false;
          response.setHeader('content-type', 'text/event-stream');
          response.flushHeaders();
          say = (number) => response.write(`event: user count\ndata: ${number}\n\n`);
          return true;
        },
      });
      await elementShows(page, 'some', 'connecting');
      assert.equal((await element(page)).count, null);
      await eventually('the stream', () => typeof say, 'function');
      say('<b>7</b>');
      say('7');
      await elementShows(page, '7');
      assert.equal((await element(page)).count, 7);
    });

    test('room="page" is the host and the path of the page, and goes along with it', async (t) => {
      const { server, site, page } = await visited(t, '<user-count room="page">–</user-count>', {
        path: '/a/page',
      });
      const host = new URL(site.url).host;
      await elementShows(page, '1');
      await becomes(server, `${host}/a/page`, 1);
      const follows = await page.evaluate(() => 'navigation' in window);
      await page.evaluate(() => history.pushState(null, '', '/another?query#fragment'));
      await becomes(server, `${host}${follows ? '/another' : '/a/page'}`, 1);
      await becomes(server, `${host}${follows ? '/a/page' : '/another'}`, 0);
    });

    for (const [path, room] of [
      ['/', '/'],
      ['/index.html', '/'],
      ['/blog/index.html?page=2#top', '/blog/'],
      ['/an-index.html', '/an-index.html'],
      [encodeURI('/статті/привіт/'), '/статті/привіт/'],
      ['/cafe%CC%81', '/caf\u00e9'],
      ['/100%/a%20b%0Ac%FFd', '/100%/a b%0Ac%FFd'],
      // 111 bytes of it, host and all, and the FNV-1a of the whole.
      [encodeURI(`/${'ї'.repeat(200)}`), (host) => shortened(`${host}/${'ї'.repeat(200)}`)],
      [encodeURI(`/a${'ї'.repeat(200)}`), (host) => shortened(`${host}/a${'ї'.repeat(200)}`)],
    ]) {
      test(`the page at ${path.slice(0, 40)} is a room of the name that people read there`, async (t) => {
        const server = await startServer(t, SILENT);
        const body = PAGE('<user-count id="a" room="page">–</user-count><user-count id="b" room="site">–</user-count>');
        const site = await startSite(t, server, {}, (request, response) => {
          if (!request.url.startsWith(path.split('#')[0])) return false;
          if (/client|events|count\?/.test(request.url)) return false;
          response.setHeader('content-type', 'text/html').end(body);
          return true;
        });
        const { host } = new URL(site.url);
        const page = await (await newContext(t)).newPage();
        await page.goto(site.url + path);
        await elementShows(page, '1', 'live', '#a');
        const name = typeof room === 'string' ? host + room : room(host);
        assert.equal((await told(page)).at(-1).count, 1);
        await becomes(server, name, 1);
        await becomes(server, host, 1);
        assert(Buffer.byteLength(name) <= 128);
      });
    }

    test('elements that come together share one stream, whatever their rooms', async (t) => {
      const { server, site, page } = await visited(
        t,
        `<user-count id="a" room="x">–</user-count>
         <user-count id="b" room="x" show="others" format="compact">–</user-count>
         <user-count id="c" room="y">–</user-count>
         <user-count id="d" room="z">–</user-count>`,
      );
      for (const id of ['#a', '#c', '#d']) await elementShows(page, '1', 'live', id);
      assert.equal(site.streams(), 1);
      assert.equal(site.asked.filter((url) => url.startsWith('/events')).length, 1);
      await page.$eval('#d', (one) => one.remove());
      await becomes(server, 'z', 0);
      await becomes(server, 'x', 1);

      // One stays, the stream too; when the last goes, so does the stream.
      await page.$eval('#a', (one) => one.remove());
      await page.$eval('#c', (one) => one.remove());
      await becomes(server, 'y', 0);
      await becomes(server, 'x', 1);
      await page.$eval('#b', (one) => one.remove());
      await becomes(server, 'x', 0);
      assert.equal(site.streams(), 0);
    });

    test('an element that is moved, or replaced by another, does not leave its room', async (t) => {
      const { server, page } = await visited(
        t,
        '<main><user-count room="x">–</user-count></main><aside></aside>',
      );
      const observer = await visit(t, server, 'x');
      await elementShows(page, '2');
      await page.evaluate(() => {
        document.querySelector('aside').append(document.querySelector('user-count'));
      });
      await page.evaluate(() => {
        document.querySelector('aside').innerHTML = '<user-count room="x">new</user-count>';
      });
      await elementShows(page, '2');
      await visit(t, server, 'x');
      await elementShows(page, '3');
      assert.deepEqual(observer.history.at(-1), 3);
      // Who was first is chance.
      assert.equal(observer.history.filter((number) => number === 1).length <= 1, true);
      assert.equal(observer.history.includes(1) ? observer.history[0] : 1, 1);
    });

    test('attributes can change while it is connected', async (t) => {
      const { server, page } = await visited(t, '<user-count room="x">–</user-count>');
      await elementShows(page, '1');
      await visit(t, server, 'y');
      await page.$eval('user-count', (one) => one.setAttribute('room', 'y'));
      await elementShows(page, '2');
      await becomes(server, 'x', 0);
      await page.$eval('user-count', (one) => one.setAttribute('show', 'others'));
      await elementShows(page, '1');
      await page.$eval('user-count', (one) => one.removeAttribute('show'));
      await elementShows(page, '2');
      await page.$eval('user-count', (one) => one.setAttribute('room', ''));
      await becomes(server, 'y', 1);
      await becomes(server, undefined, 1);
      await eventually(
        'what the page was told',
        async () => (await told(page)).map(({ room, count }) => `${room} ${count}`),
        ['x null', 'x 1', 'y null', 'y 2', 'lobby null', 'lobby 1'],
      );
    });

    test('show="others" leaves oneself out, and is hidden when one is alone', async (t) => {
      const { server, page } = await visited(t, '<user-count show="others">nobody</user-count>');
      await eventually('the element', async () => (await element(page)).hidden, true);
      const other = await visit(t, server);
      await elementShows(page, '1');
      assert.deepEqual(await element(page), { text: '1', state: 'live', count: 2, hidden: false });
      other.leave();
      await eventually('the element', async () => (await element(page)).hidden, true);
      await page.$eval('user-count', (one) => one.removeAttribute('show'));
      await elementShows(page, '1');
      assert.equal((await element(page)).hidden, false);
    });

    test('observe listens without being counted, and nobody else is left out', async (t) => {
      const { server, page } = await visited(
        t,
        `<user-count id="a" room="x" observe>–</user-count>
         <user-count id="b" room="x" observe show="others">–</user-count>`,
      );
      await elementShows(page, '0', 'live', '#a');
      const visitor = await visit(t, server, 'x');
      for (const id of ['#a', '#b']) await elementShows(page, '1', 'live', id);
      assert.deepEqual(visitor.history, [1]);
      await page.$eval('#a', (one) => one.removeAttribute('observe'));
      for (const id of ['#a', '#b']) await elementShows(page, '2', 'live', id);
      assert.deepEqual(visitor.history, [1, 2]);
    });

    for (const [languages, full, compact] of [
      [['en-US'], '1,204', '1.2K'],
      [['de-DE', 'en'], '1.204', '1204'],
      [['uk'], '1\u00a0204', '1,2\u00a0тис.'],
      [['no language at all'], '1,204', '1.2K'],
    ]) {
      test(`large numbers are written as ${languages} writes them`, async (t) => {
        const server = await startServer(t, SILENT);
        const site = await startSite(
          t,
          server,
          {
            '/': PAGE(
              '<user-count id="a">–</user-count><user-count id="b" format="compact">–</user-count>',
            ).replace(' lang="en"', ''),
          },
          saying(1204).answer,
        );
        const page = await (await newContext(t)).newPage();
        await page.evaluateOnNewDocument((tags) => {
          Object.defineProperty(navigator, 'languages', { get: () => tags });
        }, languages);
        await page.goto(site.url);
        await elementShows(page, full, 'live', '#a');
        await elementShows(page, compact, 'live', '#b');
      });
    }

    test('watch() tells each number until it is stopped', async (t) => {
      const { server, page, wrong } = await visited(t, '');
      await page.evaluate(() => {
        window.heard = [];
        window.stop = headcount.watch({ room: 'x' }, (count, state) => {
          window.heard.push([count, state]);
          throw new Error('a listener of the page is broken');
        });
        window.second = [];
        headcount.watch({ room: 'x' }, (count) => window.second.push(count));
      });
      const heard = () => page.evaluate(() => window.heard);
      await eventually('what was heard', heard, [[1, 'live']]);
      const other = await visit(t, server, 'x');
      await eventually('what was heard', heard, [[1, 'live'], [2, 'live']]);
      await page.evaluate(() => {
        window.late = [];
        const stop = headcount.watch({ room: 'x' }, (count) => {
          window.late.push(count);
          stop();
        });
      });
      await eventually('what a late one heard', () => page.evaluate(() => window.late), [2]);
      await page.evaluate(() => window.stop());
      other.leave();
      await eventually('what the second heard', () => page.evaluate(() => window.second), [1, 2, 1]);
      assert.deepEqual(await heard(), [[1, 'live'], [2, 'live']]);
      assert.deepEqual(await page.evaluate(() => window.late), [2]);
      assert.equal(wrong.length, 2, 'the errors are told');
    });

    test('when nobody watches any more, nobody is counted', async (t) => {
      const { server, page } = await visited(t, '');
      await page.evaluate(() => {
        window.stops = [1, 2].map(() => headcount.watch({ room: 'x' }, () => {}));
      });
      await becomes(server, 'x', 1);
      await page.evaluate(() => window.stops.forEach((stop) => stop()));
      await becomes(server, 'x', 0);
    });

    for (const path of ['/client.mjs', '/public/client.mjs']) {
      test(`${path} is the same for import, from its own server`, async (t) => {
        const { server, page } = await visited(
          t,
          `<user-count room="x">–</user-count>
           <script type="module">
             import { watch, UserCount } from '${path}';
             window.heard = [];
             watch({ room: 'x' }, count => heard.push(count));
             window.same = watch === headcount.watch && customElements.get('user-count') === UserCount;
           </script>`,
        );
        await elementShows(page, '1');
        await eventually('what was heard', () => page.evaluate(() => window.heard), [1]);
        assert.equal(await page.evaluate(() => window.same), true);
        await becomes(server, 'x', 1);
      });
    }

    test('a number is partial until the server knows all, and is not called live before', async (t) => {
      const room = 'x';
      const { page } = await visited(t, '<user-count room="x">–</user-count>', SETTLING);
      await elementShows(page, '1', 'partial');
      assert.equal(await page.$eval('user-count', (one) => one.state), 'partial');
      await page.evaluate(() => {
        window.heard = [];
        headcount.watch({ room: 'x' }, (count, state) => window.heard.push([count, state]));
      });
      await elementShows(page, '1', 'live', undefined, RETURN_MS);
      assert.deepEqual(await told(page), [
        { room, count: null, state: 'connecting' },
        { room, count: 1, state: 'partial' },
        { room, count: 1, state: 'live' },
      ]);
      assert.deepEqual(await page.evaluate(() => window.heard), [
        [1, 'partial'],
        [1, 'live'],
      ]);
    });

    test('a number can become partial, until the server or a new stream says that it is not', async (t) => {
      const streams = [];
      const { page } = await visited(t, '<user-count>–</user-count>', {
        answer(request, response) {
          if (!request.url.startsWith('/events')) return false;
          response.setHeader('content-type', 'text/event-stream');
          response.write('retry: 100\nevent: user count\ndata: 7\n\n');
          streams.push(response);
          return true;
        },
      });
      const say = (event, data) => streams.at(-1).write(`event: ${event}\ndata: ${data}\n\n`);
      await elementShows(page, '7');
      say('partial', true);
      await elementShows(page, '7', 'partial');
      say('user count', 8);
      await elementShows(page, '8', 'partial');
      say('partial', false);
      await elementShows(page, '8');
      say('partial', true);
      await elementShows(page, '8', 'partial');
      streams.at(-1).end();
      await elementShows(page, '7', 'live', undefined, RETURN_MS);
      assert.equal(streams.length, 2);
      assert.deepEqual(
        (await told(page)).map(({ count, state }) => `${count} ${state}`),
        [
          'null connecting',
          '7 live',
          '7 partial',
          '8 partial',
          '8 live',
          '8 partial',
          '8 stale',
          '7 live',
        ],
      );
    });

    test('a module alone finds the server without the plain script', async (t) => {
      const server = await startServer(t, SILENT);
      const site = await startSite(t, server, {
        '/deep/down': `<!doctype html>
          <script type="module" src="/client.mjs"></script><user-count>–</user-count>`,
      });
      const page = await (await newContext(t)).newPage();
      await page.goto(`${site.url}/deep/down`);
      await elementShows(page, '1');
    });

    test('src says where the server is, as an address or as a path', async (t) => {
      const { page, site, server } = await visited(t, '', {
        answer(request) {
          if (request.url.startsWith('/live/')) request.url = request.url.slice('/live'.length);
          return false;
        },
      });
      for (const [i, src] of [site.url, `${site.url}/`, '/', '/live', '/live/'].entries()) {
        const room = `room ${i}`;
        await page.evaluate(
          (html) => {
            document.body.innerHTML = html;
          },
          `<user-count room="${room}" src="${src}">–</user-count>`,
        );
        await elementShows(page, '1');
        await becomes(server, room, 1);
      }
    });

    // The prefix, as a proxy has it or an app that nests the router, may look like ours.
    for (const prefix of ['', '/public', '/app/public']) {
      for (const file of ['client.js', 'public/client.js', 'client.mjs', 'public/client.mjs']) {
        test(`${file} beneath the prefix "${prefix}" finds its server`, async (t) => {
          const server = await startServer(t, SILENT);
          const kind = file.endsWith('.mjs') ? 'type="module"' : 'defer';
          const script = `<script ${kind} src="${prefix}/${file}"></script>`;
          const pages = { '/page': `<!doctype html>${script}<user-count room="x">–</user-count>` };
          const site = await startSite(t, server, pages, beneath(prefix));
          const page = await (await newContext(t)).newPage();
          await page.goto(`${site.url}/page`);
          await elementShows(page, '1');
          await becomes(server, 'x', 1);
        });
      }
    }

    test('a script that is there twice counts once', async (t) => {
      const { server, page, wrong } = await visited(
        t,
        '<script defer src="/public/client.js"></script><user-count>–</user-count>',
      );
      await elementShows(page, '1');
      await becomes(server, undefined, 1);
      assert.deepEqual(wrong, []);
    });

    test('who leaves is not counted, and who comes back is counted once', async (t) => {
      const { server, site, page } = await visited(t, '<user-count room="x">–</user-count>');
      await elementShows(page, '1');
      const observer = await visit(t, server, 'x');
      await leaveFor(page, `${site.url}/elsewhere`);
      await eventually('the numbers', () => observer.history, [2, 1], 2000);
      await goBack(page, `${site.url}/`);
      await eventually('the numbers', () => observer.history, [2, 1, 2]);
      await elementShows(page, '2');
    });

    for (const per of ['browser', 'tab']) {
      test(`thirty elements that come and go at random move nobody else's number, per="${per}"`, async (t) => {
        const stays = `<user-count id="stays" room="x" per="${per}">–</user-count><main></main>`;
        const { server, site, page } = await visited(t, stays);
        await elementShows(page, '1', 'live', '#stays');
        const observer = await visit(t, server, 'x');
        await elementShows(page, '2', 'live', '#stays');
        await page.evaluate(async (mode) => {
          const main = document.querySelector('main');
          for (let step = 0; step < 400; step += 1) {
            const nth = Math.floor(Math.random() * 30);
            const found = main.querySelector(`[nth="${nth}"]`);
            if (found) {
              found.remove();
            } else {
              const one = document.createElement('user-count');
              one.setAttribute('nth', nth);
              one.room = nth % 3 ? `room ${nth}` : 'x';
              one.per = mode;
              main.append(one);
            }
            if (step % 4 === 0) await new Promise((go) => setTimeout(go));
          }
          main.innerHTML = Array.from(
            { length: 30 },
            (_, nth) => `<user-count room="room ${nth}" per="${mode}">–</user-count>`,
          ).join('');
        }, per);
        const all = () =>
          page.$$eval('main user-count', (found) => found.map((one) => one.textContent + one.state));
        await eventually('the numbers', all, Array(30).fill('1live'));
        assert.equal(site.streams(), 1);
        const other = await visit(t, server, 'x');
        await elementShows(page, '3', 'live', '#stays');
        other.leave();
        await elementShows(page, '2', 'live', '#stays');
        assert.deepEqual(observer.history, [2, 3, 2]);
        const states = (await told(page)).filter(({ room }) => room === 'x').map(({ state }) => state);
        assert(!states.includes('stale'), 'and no state');
      });
    }

    test('more than 32 rooms, or long names, take a second stream', async (t) => {
      const rooms = (length, name) => Array.from({ length }, (_, nth) => name(nth));
      const elements = (names) => names.map((name) => `<user-count room="${name}">–</user-count>`).join('');
      const short = rooms(40, (nth) => `room ${nth}`);
      const { server, site, page } = await visited(t, `<main>${elements(short)}</main>`);
      const all = () => page.$$eval('user-count', (found) => found.map((one) => one.textContent));
      await eventually('the numbers', all, Array(40).fill('1'));
      assert.equal(site.streams(), 2);
      // As it is percent-encoded, this is 12 kB of a query.
      const long = rooms(32, (nth) => `${nth}${'ї'.repeat(60)}`);
      await page.evaluate((html) => {
        document.querySelector('main').innerHTML = html;
      }, elements(long));
      await eventually('the numbers', all, Array(32).fill('1'));
      await eventually('the streams', site.streams, (count) => count >= 2 && count <= 4);
      await becomes(server, 'room 7', 0);
      await becomes(server, long[31], 1);
    });

    const prerenders = browser.name === 'Chromium';
    test(
      'a page that is loaded before anybody asked for it is not counted until it is seen',
      { skip: !prerenders && `${browser.name} has no prerendering` },
      async (t) => {
        const { server, site, page } = await visited(
          t,
          `<script type="speculationrules">
             {"prerender": [{"urls": ["/next"], "eagerness": "immediate"}]}
           </script>`,
          {
            answer(request, response) {
              if (request.url !== '/next') return false;
              const body = '<user-count room="next">–</user-count>';
              response.setHeader('content-type', 'text/html').end(
                PAGE(`${body}<script type="module">
                  const { state } = document.querySelector('user-count').dataset;
                  await fetch('/first');
                  await fetch('/seen?' + document.prerendering + state);
                </script>`),
              );
              return true;
            },
          },
        );
        const asked = () => site.asked.filter((url) => /^\/(next|events|seen)/.test(url));
        // No stream was asked for when the page had been there for a while.
        await eventually('what was asked for', asked, ['/next', '/seen?trueconnecting']);
        await page.evaluate(() => {
          location.href = '/next';
        });
        await becomes(server, 'next', 1);
        assert.deepEqual(
          asked().map((url) => url.split('?')[0]),
          ['/next', '/seen', '/events'],
          'it was not loaded anew',
        );
      },
    );
  });
}
