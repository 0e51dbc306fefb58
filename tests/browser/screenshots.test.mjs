// Screenshots of the page, wide and narrow, light and dark, in English and Ukrainian,
// while a scripted little crowd comes and goes. They are for people to look at; what is asserted is that
// the page shows the crowd, in number and chart, and that each is a PNG of its size.

import assert from 'node:assert/strict';
import { mkdir, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { describe, test } from 'node:test';
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
});

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
