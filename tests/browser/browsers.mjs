// The real browsers, as Debian has them, and what is to be read off a page. One
// set of tests runs in both: Chromium is spoken to in its own protocol, Firefox
// in WebDriver BiDi.

import { after, before } from 'node:test';
import puppeteer from 'puppeteer-core';
import { eventually } from '../support/wait.mjs';

const CHROMIUM = {
  browser: 'chrome',
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
};

const FIREFOX = {
  browser: 'firefox',
  executablePath: process.env.FIREFOX || '/usr/bin/firefox-esr',
};

/** `keepsStreams`: whether a page with an open stream is kept to come back to. */
export const BROWSERS = [
  { name: 'Chromium', launch: CHROMIUM, keepsStreams: true },
  { name: 'Firefox', launch: FIREFOX, keepsStreams: false },
];

/** How long a page may take to come back: its random waits add up. */
export const RETURN_MS = 45_000;

/** A server whose numbers are partial for as long as a page may take to be there. */
export const SETTLING = { args: ['--keep-alive', '1h', '--settle', '25s'] };
/** One whose numbers are partial all the time. */
export const PARTIAL = { args: ['--keep-alive', '1h', '--settle', '1h'] };

/**
 * For the suite it is called in: a browser, and the way to have contexts of it.
 * A context is one visitor's browser, with nothing in common with another's.
 */
export function useBrowser({ launch }) {
  let browser;
  before(async () => {
    browser = await puppeteer.launch(launch);
  });
  after(() => browser?.close());

  // One after the other: Firefox loses a tab that opens while another one closes.
  let turn = Promise.resolve();
  const inTurn = (work) => {
    turn = turn.then(work, work);
    return turn;
  };
  // Not all closings are ours, and some go on after they were answered: what is lost
  // in them is opened anew.
  const open = async (context) => {
    for (let tries = 1; ; tries += 1) {
      try {
        return await context.newPage();
      } catch (error) {
        if (tries === 5 || !/no such frame|Discarded/.test(error.message)) throw error;
      }
    }
  };
  return async (t) => {
    const context = await inTurn(() => browser.createBrowserContext());
    t.after(() => inTurn(() => context.close()));
    return {
      newPage: async () => {
        const page = await inTurn(() => open(context));
        const close = page.close.bind(page);
        page.close = () => inTurn(close);
        return page;
      },
      pages: () => context.pages(),
    };
  };
}

/** What Headcount's own page shows, as its readers take it. */
export const look = (page) =>
  page.evaluate(() => {
    const text = (id) => document.getElementById(id).textContent;
    return {
      sentence: `${text('count')} ${text('people')}`,
      state: document.getElementById('status').dataset.state,
    };
  });

/** What the page shows when it is connected and `count` are here. */
export const live = (count) => ({ sentence: sentence(count), state: 'live' });
/** The same while some people may be missing. */
export const partial = (count) => ({ sentence: sentence(count), state: 'partial' });

const sentence = (count) => `${count} ${count === 1 ? 'person is' : 'people are'} here now`;

export const shows = (page, expected, within) =>
  eventually('what the page shows', () => look(page), expected, within);

/** Waits until the page is in a state, whatever number it still shows. */
export const is = (page, state, within) =>
  eventually("the page's state", async () => (await look(page)).state, state, within);

/** What an element of somebody's page shows. */
export const element = (page, selector = 'user-count') =>
  page.$eval(selector, ({ textContent, dataset, count, hidden }) => ({
    text: textContent,
    state: dataset.state,
    count: count ?? null,
    hidden,
  }));

export const elementShows = (page, text, state = 'live', selector = undefined, within = undefined) =>
  eventually(
    `what ${selector ?? 'the element'} shows`,
    async () => {
      const seen = await element(page, selector);
      return { text: seen.text, state: seen.state };
    },
    { text, state },
    within,
  );

/** What the page's elements have told it so far, in order. (See `PAGE` in site.mjs.) */
export const told = async (page) => {
  const details = await page.evaluate(() => window.told.map((detail) => JSON.stringify(detail)));
  return details.map((detail) => JSON.parse(detail));
};

export const text = (page, selector) => page.$eval(selector, (found) => found.textContent);

/** Leaves the page by a link, as it were; resolves when the other one is there. */
export async function leaveFor(page, address) {
  await page.evaluate((target) => {
    window.kept = true;
    location.href = target;
  }, address);
  await eventually('where the page is', () => page.evaluate(() => location.href), address);
}

/** Back, and without waiting for a load: a page that was kept has none. */
export async function goBack(page, address) {
  await page.evaluate(() => setTimeout(() => history.back()));
  await eventually('where the page is', () => page.evaluate(() => location.href), address);
}
