// The page in the languages that it speaks.

import assert from 'node:assert/strict';
import { readFile } from 'node:fs/promises';
import { describe, test } from 'node:test';
import { words } from '../../public/words.js';
import { startServer } from '../support/server.mjs';
import { startSite } from '../support/site.mjs';
import { eventually } from '../support/wait.mjs';
import { BROWSERS, look, text, useBrowser } from './browsers.mjs';

test('every language says everything, in every form that it has', () => {
  for (const [language, says] of Object.entries(words)) {
    assert.deepEqual(Object.keys(says), Object.keys(words.en), language);
    const forms = new Intl.PluralRules(language).resolvedOptions().pluralCategories;
    assert.deepEqual(Object.keys(says.people).sort(), [...forms].sort(), language);
    assert.match(says.range, /\{low\}.*\{high\}/, language);
  }
});

test('what stands in the page for who has no script is the English of the words', async () => {
  const html = await readFile(new URL('../../public/index.html', import.meta.url), 'utf8');
  const said = [...html.matchAll(/data-says="(\w+)"[^>]*>([^<]*)</g)];
  assert.equal(said.length, 6);
  for (const [, key, english] of said) assert.equal(english, words.en[key]);
});

const NBSP = '\u00a0';
const SENTENCES = [
  [['en-GB'], 'en', { 1: '1 person is here now', 1234: '1,234 people are here now' }],
  [
    ['pt-BR', 'en'],
    'pt',
    {
      1: '1 pessoa está aqui agora',
      2: '2 pessoas estão aqui agora',
      1234: '1.234 pessoas estão aqui agora',
      1000000: '1.000.000 de pessoas estão aqui agora',
    },
  ],
  [
    ['es'],
    'es',
    {
      1: '1 persona está aquí ahora',
      1234: '1234 personas están aquí ahora',
      12345: '12.345 personas están aquí ahora',
      1000000: '1.000.000 de personas están aquí ahora',
    },
  ],
  [
    ['uk-UA'],
    'uk',
    {
      1: '1 людина зараз тут',
      2: '2 людини зараз тут',
      5: '5 людей зараз тут',
      11: '11 людей зараз тут',
      21: '21 людина зараз тут',
      22: '22 людини зараз тут',
      1234: `1${NBSP}234 людини зараз тут`,
    },
  ],
  [['it-IT'], 'it', { 1: '1 persona è qui adesso', 12345: '12.345 persone sono qui adesso' }],
  [['de-DE', 'fr'], 'de', { 1: '1 Person ist gerade hier', 1234: '1.234 Personen sind gerade hier' }],
  [['fr', 'sv', 'de'], 'de', { 2: '2 Personen sind gerade hier' }],
  [['fr', 'sv'], 'en', { 1: '1 person is here now', 1234: '1,234 people are here now' }],
  // Names that every object has are no languages.
  [['constructor', 'toString'], 'en', { 2: '2 people are here now' }],
];

for (const browser of BROWSERS) {
  describe(`the page's words, in ${browser.name}`, { concurrency: 4, timeout: 120_000 }, () => {
    const newContext = useBrowser(browser);

    for (const [languages, language, sentences] of SENTENCES) {
      test(`who reads ${languages} is told in ${language}`, async (t) => {
        const server = await startServer(t);
        let tell;
        const site = await startSite(t, server, {}, (request, response) => {
          if (!request.url.startsWith('/events')) return false;
          response.setHeader('content-type', 'text/event-stream');
          response.flushHeaders();
          tell = (event, data) => response.write(`event: ${event}\ndata: ${data}\n\n`);
          return true;
        });
        const page = await (await newContext(t)).newPage();
        await page.evaluateOnNewDocument((tags) => {
          Object.defineProperty(navigator, 'languages', { get: () => tags });
        }, languages);
        await page.goto(site.url);
        assert.equal(await page.evaluate(() => document.documentElement.lang), language);
        const says = words[language];
        assert.equal(await text(page, '#status'), says.connecting);
        assert.equal(await text(page, 'a'), says.tab);
        assert.match(await text(page, '#embed'), new RegExp(`${says.here}</p>$`));

        await eventually('the stream', () => typeof tell, 'function');
        for (const [count, sentence] of Object.entries(sentences)) {
          tell('user count', count);
          const seen = async () => (await look(page)).sentence;
          await eventually('the sentence', seen, sentence);
        }
        assert.equal(await text(page, '#status'), says.live);
        tell('partial', true);
        await eventually('the status', () => text(page, '#status'), says.partial);
        assert(!/[{}]/.test(await text(page, '#summary')));
      });
    }
  });
}
