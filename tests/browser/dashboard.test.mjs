// The operator's dashboard, in real browsers. Who is in which room is known from what the
// test opened and closed.

import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import axe from 'axe-core';
import { fill } from '../support/crowd.mjs';
import { startServer } from '../support/server.mjs';
import { eventually } from '../support/wait.mjs';
import { BROWSERS, RETURN_MS, text, useBrowser } from './browsers.mjs';

const TOKEN = 'a-token-of-the-operator';
const HERE = ['--admin-listen', '127.0.0.1:0', '--keep-alive', '1h'];
const MANY = ['--max-rooms-per-ip', '9999'];
const HOSTILE = ['<img src=x onerror=window.pwned=1>', '"><script>window.pwned=1</script>', '\u202egnp.exe'];

const state = (page) => page.$eval('#status', (status) => status.dataset.state);
const isLive = (page) => eventually('the state', () => state(page), 'live', RETURN_MS);

/** The rows of the list as they are read: the room, and its number. */
const rows = (page) =>
  page.$$eval('#list tbody tr', (all) =>
    all.map(({ cells }) => `${cells[0].textContent} ${cells[1].textContent}`));

const lists = (page, expected) => eventually('the rooms', () => rows(page), expected);

/** What is wrong for people who use the page in other ways. */
async function violations(page) {
  await page.evaluate(axe.source);
  const found = await page.evaluate(async () => (await window.axe.run()).violations);
  return found.map(({ id, nodes }) => `${id}: ${nodes.map((node) => node.html).join(' ')}`);
}

const wide = (page) =>
  page.evaluate(() => document.documentElement.scrollWidth - document.documentElement.clientWidth);

async function load(page, act) {
  await Promise.all([page.waitForNavigation(), act()]);
}

for (const browser of BROWSERS) {
  describe(`the dashboard, in ${browser.name}`, { concurrency: 4, timeout: 120_000 }, () => {
    const newContext = useBrowser(browser);

    const open = async (t, server, hash = '') => {
      const page = await (await newContext(t)).newPage();
      await page.goto(`${server.admin}/${hash}`);
      return page;
    };

    test('the token opens it, another one does not, and signing out closes it', async (t) => {
      const server = await startServer(t, { args: [...HERE, '--admin-token', TOKEN] });
      fill(t, server, ['a room']);
      const page = await open(t, server);
      const signIn = async (token) => {
        await page.type('#token', token);
        await load(page, () => page.keyboard.press('Enter'));
      };
      assert.deepEqual(await violations(page), []);
      await signIn(`${TOKEN}!`);
      assert.match(await text(page, '#word'), /^That is not the token/);
      await signIn(TOKEN);
      await isLive(page);
      await lists(page, ['a room 1']);
      assert.equal(new URL(page.url()).search, '');
      await page.reload();
      await isLive(page);
      await load(page, () => page.click('#logout button'));
      assert.equal(await page.$('#list'), null);
      await page.goto(server.admin);
      assert(await page.$('#token'), 'the form is there again');
    });

    test('of 5,000 rooms the largest come first, and only what changes is touched', async (t) => {
      const server = await startServer(t, { args: [...HERE, ...MANY] });
      const names = Array.from({ length: 5000 }, (_, nth) => `room ${String(nth).padStart(4, '0')}`);
      fill(t, server, names);
      fill(t, server, names.slice(4990));
      const page = await open(t, server);
      await isLive(page);
      const largest = names.slice(4990).map((name) => `${name} 2`);
      const first = [...largest, ...names.slice(0, 90).map((name) => `${name} 1`)];
      await lists(page, first);
      await eventually('how many', () => text(page, '#found'), 'The largest 100 of 5,000 rooms');
      assert.equal(await text(page, '#total'), '5,010');
      await page.waitForSelector('#list .spark path[d]');
      assert.deepEqual(await violations(page), []);

      // Rows that stay as they are are left alone.
      await page.evaluate(() => {
        window.touched = new Set();
        const watch = new MutationObserver((changes) => {
          for (const { target, attributeName, addedNodes, removedNodes } of changes) {
            if (attributeName === 'd') continue; // the sparklines, which move
            for (const node of [target, ...addedNodes, ...removedNodes]) {
              const row = (node.closest ? node : node.parentElement)?.closest('tr');
              if (row) window.touched.add(row.cells[0].textContent);
            }
          }
        });
        const body = document.querySelector('#list tbody');
        watch.observe(body, { subtree: true, childList: true, characterData: true, attributes: true });
      });
      fill(t, server, ['room 3000']);
      fill(t, server, ['room 3000']);
      await lists(page, ['room 3000 3', ...first.slice(0, 99)]);
      const touched = await page.evaluate(() => [...window.touched].sort());
      assert.deepEqual(touched, ['room 0089', 'room 3000']);

      await page.click('#more');
      await eventually('the rows', async () => (await rows(page)).length, 200);
      await page.type('#search', 'ROOM 49');
      const found = names.slice(4900, 4990).map((name) => `${name} 1`);
      await lists(page, [...largest, ...found]);
      await eventually('how many', () => text(page, '#found'), '100 rooms');
    });

    test("a hostile room's name is a text, and its page can be had by the keyboard at 320 px", async (t) => {
      const server = await startServer(t, { args: HERE });
      const refused = await fetch(server.events(), { headers: { origin: 'https://evil.example' } });
      assert.equal(refused.status, 403);
      const long = 'a'.repeat(128);
      fill(t, server, [...HOSTILE, long]);
      fill(t, server, HOSTILE.slice(0, 1));
      const page = await open(t, server);
      await page.setViewport({ width: 320, height: 640 });
      await isLive(page);
      const shown = [`${HOSTILE[1]} 1`, `<U+202E>gnp.exe 1`, `${long} 1`];
      await lists(page, (all) => all[0] === `${HOSTILE[0]} 2` &&
        shown.every((row) => all.includes(row)) && all.length === 4);
      const cells = '#list tbody tr:first-child td';
      const widths = (all) => all.map((cell) => [cell.innerText, cell.offsetWidth > 0]);
      const [now, peak] = await page.$$eval(cells, widths);
      assert.deepEqual([now, peak], [['2', true], ['2', true]]);
      assert.match(await text(page, '#refusals tbody'), /^origin.*1.*--allow-origin/);
      assert.equal(await wide(page), 0, 'nothing is wider than the screen');
      assert.deepEqual(await violations(page), []);

      await page.focus('#list tbody a');
      await page.keyboard.press('Enter');
      await eventually('the room', () => text(page, '#room-name'), HOSTILE[0]);
      await eventually('how many', () => text(page, '#room-count'), '2');
      // What was is known from the first 5 s on.
      const summary = () => text(page, '#chart-summary');
      const known = /^Last 5 minutes: low \d, high 2, mean/;
      await eventually('what was', summary, (said) => known.test(said));
      assert.notEqual(await page.$eval('#mean', (path) => path.getAttribute('d')), '');
      await page.click('input[value="24h"]');
      await eventually('what is kept', summary, (said) => said.includes('--history'));
      assert.equal(await wide(page), 0, 'nothing is wider than the screen');
      assert.deepEqual(await violations(page), []);
      assert.equal(await page.evaluate(() => window.pwned), undefined);
      await page.click('#one a');
      await lists(page, (all) => all.length === 4);
    });

    test('when the server restarts it says that the numbers are old, and comes back', async (t) => {
      const server = await startServer(t, { args: HERE });
      const there = fill(t, server, ['before']);
      const page = await open(t, server);
      await isLive(page);
      await lists(page, ['before 1']);
      server.signal('SIGKILL');
      await server.ends('SIGKILL');
      await eventually('the state', () => state(page), 'stale');
      assert.match(await text(page, '#status'), /^The connection is lost: the numbers are those of \d\d:\d\d:\d\d$/);
      there.leave();
      const again = await startServer(t, {
        port: server.port,
        args: ['--admin-listen', new URL(server.admin).host, '--keep-alive', '1h'],
      });
      fill(t, again, ['after']);
      await isLive(page);
      await lists(page, ['after 1']);
    });
  });
}
