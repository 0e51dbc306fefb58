// The real browser, and what is to be read off the page.

import { after, before } from 'node:test';
import { chromium } from 'playwright-core';
import { eventually } from '../support/wait.mjs';

/** How long a page may take to come back: its random waits add up. */
export const RETURN_MS = 45_000;

/** For the suite it is called in: a browser, and the way to have a context of it. */
export function useBrowser() {
  let browser;
  before(async () => {
    browser = await chromium.launch({
      executablePath: process.env.CHROMIUM || '/usr/bin/chromium',
      // Visitors' browsers keep pages to come back to, so this one shall too.
      ignoreDefaultArgs: ['--disable-back-forward-cache'],
      args: [
        '--no-sandbox',
        '--disable-gpu',
        '--disable-quic',
        '--no-first-run',
        '--disable-background-networking',
        '--disable-component-update',
        '--disable-sync',
      ],
    });
  });
  after(() => browser?.close());

  /** A context of its own for the test `t`, as it were another visitor's browser. */
  return async (t, options = {}) => {
    const context = await browser.newContext({ serviceWorkers: 'block', ...options });
    t.after(() => context.close());
    return context;
  };
}

/** What the page shows, as its readers take it. */
export const look = (page) =>
  page.evaluate(() => {
    const text = (id) => document.getElementById(id).textContent;
    return {
      sentence: `${text('count')} ${text('people')}`,
      state: document.getElementById('status').dataset.state,
    };
  });

/** What the page shows when it is connected and `count` are here. */
export const live = (count) => ({
  sentence: `${count} ${count === 1 ? 'person is' : 'people are'} here now`,
  state: 'live',
});

export const shows = (page, expected, within) =>
  eventually('what the page shows', () => look(page), expected, within);

/** Waits until the page is in a state, whatever number it still shows. */
export const is = (page, state, within) =>
  eventually("the page's state", async () => (await look(page)).state, state, within);

/** Counts the events that the browser itself has received for the page. */
export async function received(page) {
  const devtools = await page.context().newCDPSession(page);
  await devtools.send('Network.enable');
  let events = 0;
  devtools.on('Network.eventSourceMessageReceived', () => (events += 1));
  return () => events;
}
