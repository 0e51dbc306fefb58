// Screenshots of the page, wide and narrow, light and dark, while a scripted little
// crowd comes and goes. They are for people to look at; what is asserted is that
// the page shows the crowd, in number and chart, and that each is a PNG of its size.

import assert from 'node:assert/strict';
import { mkdir, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { describe, test } from 'node:test';
import { startServer } from '../support/server.mjs';
import { visit } from '../support/visitor.mjs';
import { eventually } from '../support/wait.mjs';
import { live, shows, useBrowser } from './chromium.mjs';

const DIRECTORY =
  process.env.SCREENSHOTS || fileURLToPath(new URL('../../target/screenshots', import.meta.url));

const DESKTOP = { viewport: { width: 1280, height: 800 } };
const PHONE = { viewport: { width: 375, height: 812 }, deviceScaleFactor: 2 };
const PICTURES = [
  { name: 'page-desktop.png', size: [1280, 800], ...DESKTOP, colorScheme: 'light' },
  { name: 'page-desktop-dark.png', size: [1280, 800], ...DESKTOP, colorScheme: 'dark' },
  { name: 'page-phone.png', size: [750, 1624], ...PHONE, colorScheme: 'light' },
  { name: 'page-phone-dark.png', size: [750, 1624], ...PHONE, colorScheme: 'dark' },
];

/** How many seconds before the picture there are how many people, pages included. */
const CROWD = [
  [280, 4], [262, 5], [249, 7], [231, 8], [214, 7], [203, 9], [188, 12], [171, 11], [160, 13],
  [142, 17], [127, 16], [118, 18], [101, 15], [88, 14], [74, 16], [55, 19], [43, 22], [28, 21],
  [12, 23],
];

describe('the screenshots', { timeout: 60_000 }, () => {
  const newContext = useBrowser();

  test('a screenshot shows the crowd, wide and narrow, light and dark', async (t) => {
    const server = await startServer(t, { args: ['--keep-alive', '1h'] });
    const now = Date.now();
    const pages = [];
    for (const picture of PICTURES) {
      const page = await (await newContext(t, picture)).newPage();
      // The page's clock says what the script says, so that minutes take no time.
      await page.clock.setFixedTime(now - CROWD[0][0] * 1000);
      await page.goto(server.page());
      pages.push(page);
    }
    const crowd = [];
    for (const [ago, size] of CROWD) {
      for (const page of pages) await page.clock.setFixedTime(now - ago * 1000);
      while (pages.length + crowd.length < size) crowd.push(await visit(t, server));
      while (pages.length + crowd.length > size) crowd.pop().leave();
      for (const page of pages) await shows(page, live(size));
    }

    await mkdir(DIRECTORY, { recursive: true });
    for (const [i, page] of pages.entries()) {
      const { name, size } = PICTURES[i];
      await page.clock.setFixedTime(now);
      const steps = CROWD.slice(1).map(([ago]) => ((300 - ago)).toFixed(2));
      await eventually(`the chart's steps in ${name}`, () => stepsOf(page), steps);
      const summary = await page.textContent('#summary');
      assert.match(summary, /low \d, high 23$/);

      const path = join(DIRECTORY, name);
      await page.screenshot({ path, animations: 'disabled' });
      assert.deepEqual(await pngSize(path), size, `the size of ${name}`);
    }
  });
});

/** Where the chart's line goes up or down: seconds after its left edge. */
async function stepsOf(page) {
  const line = await page.getAttribute('#line', 'd');
  return [...line.matchAll(/H([\d.]+)V/g)].map(([, x]) => x);
}

async function pngSize(path) {
  const bytes = await readFile(path);
  assert.equal(bytes.toString('latin1', 0, 8), '\x89PNG\r\n\x1a\n', `${path} is a PNG`);
  return [bytes.readUInt32BE(16), bytes.readUInt32BE(20)];
}
