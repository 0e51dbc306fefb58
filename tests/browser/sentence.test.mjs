// What the element says: whole sentences, in the language of the page around it.

import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { startServer } from '../support/server.mjs';
import { PAGE, startSite } from '../support/site.mjs';
import { BROWSERS, elementShows, useBrowser } from './browsers.mjs';

const NBSP = '\u00a0';
const UKRAINIAN = 'one="{} людина тут" few="{} людини тут" many="{} людей тут" other="{} людини тут"';

for (const browser of BROWSERS) {
  describe(`the sentence, in ${browser.name}`, { concurrency: 4, timeout: 60_000 }, () => {
    const newContext = useBrowser(browser);

    /** A visitor's browser, in English, on a page with a stream that says what it is given. */
    async function page(t, body, lang = 'en') {
      let say;
      const server = await startServer(t);
      const pages = { '/': PAGE(body).replace('lang="en"', lang && `lang="${lang}"`) };
      const site = await startSite(t, server, pages, (request, response) => {
        if (!request.url.startsWith('/events')) return false;
        response.setHeader('content-type', 'text/event-stream');
        say = (count) => response.write(`event: user count\ndata: ${count}\n\n`);
        say(0);
        return true;
      });
      const opened = await (await newContext(t)).newPage();
      await opened.goto(site.url);
      await opened.waitForFunction(() => document.querySelector('user-count').count === 0);
      return { page: opened, say: (count) => say(count) };
    }

    for (const [language, lang, words, sentences] of [
      [
        'English',
        'en',
        'one="{} person is reading this" other="{} people are reading this"',
        { 1: '1 person is reading this', 2: '2 people are reading this', 1204: '1,204 people are reading this' },
      ],
      [
        'Ukrainian',
        'uk',
        UKRAINIAN,
        {
          1: '1 людина тут',
          2: '2 людини тут',
          5: '5 людей тут',
          11: '11 людей тут',
          21: '21 людина тут',
          1204: `1${NBSP}204 людини тут`,
        },
      ],
      ['German', 'de', 'one="{} Mensch" other="{} Menschen"', { 1: '1 Mensch', 1204: '1.204 Menschen' }],
      [
        'English with a zero of its own',
        'en',
        'zero="Nobody" one="Just you" other="{} of {}"',
        { 0: 'Nobody', 1: 'Just you', 3: '3 of 3' },
      ],
      ['a form that is not given', 'uk', 'other="{} тут"', { 1: '1 тут', 5: '5 тут' }],
      ['no language', '', 'other="{} here"', { 1204: '1,204 here' }],
      ['what is no language', 'no language at all', 'other="{} here"', { 7: '7 here' }],
    ]) {
      test(`${language}`, async (t) => {
        const { page: opened, say } = await page(t, `<user-count ${words}>–</user-count>`, lang);
        for (const [count, sentence] of Object.entries(sentences)) {
          say(count);
          await elementShows(opened, sentence);
        }
      });
    }

    test('the nearest lang counts, also from around a shadow root', async (t) => {
      const { page: opened, say } = await page(
        t,
        `<user-count>–</user-count>
         <main lang="de"><p><user-count id="de">–</user-count></p>
           <user-count id="own" lang="es">–</user-count><div id="host"></div></main>`,
      );
      await opened.evaluate(() => {
        const root = document.querySelector('#host').attachShadow({ mode: 'open' });
        root.innerHTML = '<user-count>–</user-count>';
      });
      say(12345);
      await elementShows(opened, '12,345');
      await elementShows(opened, '12.345', 'live', '#de');
      await elementShows(opened, '12.345', 'live', '#own');
      await elementShows(opened, '12.345', 'live', '#host >>> user-count');
    });

    test('words are text, whatever is in them, and can change', async (t) => {
      const { page: opened, say } = await page(t, '<user-count other="<b>{}</b> $& $1">–</user-count>');
      say(7);
      await elementShows(opened, '<b>7</b> $& $1');
      assert.equal(await opened.$('user-count b'), null);
      await opened.$eval('user-count', (one) => {
        one.other = '{} here';
      });
      await elementShows(opened, '7 here');
    });
  });
}
