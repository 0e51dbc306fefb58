// Screenshots of the page, wide and narrow, light and dark, in English and Ukrainian,
// while a scripted little crowd comes and goes. They are for people to look at; what is asserted is that
// the page shows the crowd, in number and chart, and that each is a PNG of its size.
// One more is of the dashboard.

import assert from 'node:assert/strict';
import { mkdir, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { describe, test } from 'node:test';
import { fill } from '../support/crowd.mjs';
import { startServer } from '../support/server.mjs';
import { visit } from '../support/visitor.mjs';
import { eventually } from '../support/wait.mjs';
import { BROWSERS, look, text, useBrowser } from './browsers.mjs';

const DIRECTORY =
  process.env.SCREENSHOTS || fileURLToPath(new URL('../../target/screenshots', import.meta.url));

const DESKTOP = { width: 1280, height: 800 };
const PHONE = { width: 375, height: 812, deviceScaleFactor: 2 };
const SMALL = { width: 320, height: 640, deviceScaleFactor: 2 };
const PICTURES = [
  { name: 'page-desktop.png', size: [1280, 800], viewport: DESKTOP, scheme: 'light' },
  { name: 'page-desktop-dark.png', size: [1280, 800], viewport: DESKTOP, scheme: 'dark' },
  { name: 'page-phone.png', size: [750, 1624], viewport: PHONE, scheme: 'light' },
  { name: 'page-phone-dark.png', size: [750, 1624], viewport: PHONE, scheme: 'dark' },
  { name: 'page-desktop-uk.png', size: [1280, 800], viewport: DESKTOP, scheme: 'light', language: 'uk' },
  { name: 'page-small-uk.png', size: [640, 1280], viewport: SMALL, scheme: 'dark', language: 'uk' },
];

/** How many seconds before the picture there are how many people, pages included. */
const CROWD = [
  [280, 6], [262, 7], [249, 8], [231, 9], [214, 7], [203, 9], [188, 12], [171, 11], [160, 13],
  [142, 17], [127, 16], [118, 18], [101, 15], [88, 14], [74, 16], [55, 19], [43, 22], [28, 21],
  [12, 24],
];

/** The rooms of the dashboard: how many people each has, and had at most. */
const ROOMS = [
  ['blog.example', 61, 64], ['blog.example/2026/11/hello-again', 38, 47],
  ['docs.example/install', 17, 17], ['docs.example', 14, 19], ['lobby', 9, 12],
  ['docs.example/configuration', 6, 8], ['blog.example/about', 4, 5], ['Крамниця', 3, 3],
  ['blog.example/archive', 2, 4], ['docs.example/faq', 1, 2],
];

describe('the screenshots', { timeout: 90_000 }, () => {
  const newContext = useBrowser(BROWSERS[0]);

  test('a screenshot shows the crowd, wide and narrow, light and dark', async (t) => {
    const server = await startServer(t, { args: ['--keep-alive', '1h'] });
    const now = Date.now();
    const pages = [];
    const setTime = (page, time) =>
      page.evaluate((at) => {
        window.now = at;
      }, time);
    for (const { viewport, scheme, language = 'en' } of PICTURES) {
      const page = await (await newContext(t)).newPage();
      await page.setViewport(viewport);
      await page.emulateMediaFeatures([{ name: 'prefers-color-scheme', value: scheme }]);
      // The page's clock says what the script says, so that minutes take no time.
      await page.evaluateOnNewDocument(
        (time, tag) => {
          window.now = time;
          Date.now = () => window.now;
          Object.defineProperty(navigator, 'languages', { get: () => [tag] });
        },
        now - CROWD[0][0] * 1000,
        language,
      );
      await page.goto(server.page());
      pages.push(page);
    }
    const crowd = [];
    for (const [ago, size] of CROWD) {
      for (const page of pages) await setTime(page, now - ago * 1000);
      while (pages.length + crowd.length < size) crowd.push(await visit(t, server));
      while (pages.length + crowd.length > size) crowd.pop().leave();
      for (const page of pages) await shows(page, size);
    }

    await mkdir(DIRECTORY, { recursive: true });
    for (const [i, page] of pages.entries()) {
      const { name, size } = PICTURES[i];
      // A tab that is not in front does not draw.
      await page.bringToFront();
      await setTime(page, now);
      const steps = CROWD.slice(1).map(([ago]) => (300 - ago).toFixed(2));
      await eventually(`the chart's steps in ${name}`, () => stepsOf(page), steps);
      assert.match(await text(page, '#summary'), / 6, .* 24$/);

      const path = join(DIRECTORY, name);
      await page.screenshot({ path });
      assert.deepEqual(await pngSize(path), size, `the size of ${name}`);
    }
  });

  test('a screenshot shows the dashboard, with its rooms and why streams were refused', async (t) => {
    const args = ['--admin-listen', '127.0.0.1:0', '--keep-alive', '1h', '--max-streams', '900'];
    const server = await startServer(t, { args });
    const having = (least, nth) => ROOMS.filter((room) => room[nth] > least).map(([name]) => name);
    const most = [...Array(64).keys()].map((least) => having(least, 2));
    const leaving = most.map((rooms, least) => rooms.filter((room) => !having(least, 1).includes(room)));
    for (const least of most.keys()) fill(t, server, having(least, 1));
    const left = leaving.map((rooms) => fill(t, server, rooms));
    for (let times = 0; times < 12; times += 1) {
      await fetch(server.events(), { headers: { origin: 'https://old.example' } });
    }
    await fetch(server.events(''.padEnd(200, 'a')));

    const page = await (await newContext(t)).newPage();
    await page.setViewport({ width: 1280, height: 1080 });
    // What was takes minutes, so the page is told of some that it did not see.
    await page.setRequestInterception(true);
    page.on('request', (request) => {
      if (!request.url().includes('recent=1')) return void request.continue();
      const body = JSON.stringify({ rooms: ROOMS.map(past), found: ROOMS.length, next: null });
      request.respond({ contentType: 'application/json', body });
    });
    await page.goto(server.admin);
    const rows = () => page.$$eval('#list tbody tr', (all) =>
      all.map(({ cells }) => [0, 1, 2].map((nth) => cells[nth].textContent)));
    const expected = (nth) => (seen) => seen.length === ROOMS.length &&
      seen.every(([name, now]) => ROOMS.find(([of]) => of === name)[nth] === Number(now));
    await eventually('the rooms at their largest', rows, expected(2));
    // A peak is known from the first whole 5 s on.
    const [[largest, , highest]] = ROOMS;
    const history = async () => {
      const answer = await fetch(`${server.admin}/api/rooms/${largest}/history`);
      return (await answer.json()).points.some((point) => point.most === highest);
    };
    await eventually('the largest in its history', history, true);
    left.forEach(({ leave }) => leave());
    const texts = ROOMS.map(([name, now]) => `${name} ${now}`);
    const shown = async () => (await rows()).map(([name, now]) => `${name} ${now}`);
    await eventually('the rooms', shown, texts);
    const peaks = async () => (await rows()).map((row) => Number(row[2]));
    await eventually('their peaks', peaks, ROOMS.map((room) => room[2]));

    await mkdir(DIRECTORY, { recursive: true });
    await page.bringToFront();
    const path = join(DIRECTORY, 'dashboard.png');
    await page.screenshot({ path });
    assert.deepEqual(await pngSize(path), [1280, 1080]);
  });
});

/** A room as the dashboard might have seen it over five minutes. */
function past([room, count, highest], nth) {
  const now = Math.round(Date.now() / 1000);
  const recent = [...Array(58).keys()].map((step) => {
    const wave = Math.sin(step / 7 + nth) * 0.3 + Math.sin(step / 2.3 + 2 * nth) * 0.15;
    const number = Math.round(highest * (0.45 + step / 140 + wave));
    return [now - 300 + step * 5, Math.min(Math.max(number, 1), highest)];
  });
  return { room, count, recent };
}

const shows = (page, count) =>
  eventually('what the page shows', () => look(page), ({ sentence, state }) =>
    sentence.startsWith(`${count} `) && state === 'live');

/** Where the chart's line goes up or down: seconds after its left edge. */
async function stepsOf(page) {
  const line = await page.$eval('#line', (path) => path.getAttribute('d'));
  return [...line.matchAll(/H([\d.]+)V/g)].map(([, x]) => x);
}

async function pngSize(path) {
  const bytes = await readFile(path);
  assert.equal(bytes.toString('latin1', 0, 8), '\x89PNG\r\n\x1a\n', `${path} is a PNG`);
  return [bytes.readUInt32BE(16), bytes.readUInt32BE(20)];
}
