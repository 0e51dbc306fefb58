/*
 * The page at `/`: the element with a sentence, a state and a chart around it, in
 * the visitor's language. It runs before client.js, so that the element is told
 * its room before it opens a stream.
 */
import { words } from './words.js';

const $ = id => document.getElementById(id);

// ---- The visitor's language ------------------------------------------------

const primary = tag => tag.split('-')[0].toLowerCase();
// The whole tag for numbers: Brazil and Portugal write them in different ways.
const locale = navigator.languages.find(tag => Object.hasOwn(words, primary(tag))) ?? 'en';
const language = primary(locale);
const says = words[language];
const plural = new Intl.PluralRules(locale);
const formatter = new Intl.NumberFormat(locale);

document.documentElement.lang = language;
for (const element of document.querySelectorAll('[data-says]')) {
  say(element, says[element.dataset.says]);
}

// ---- The room, and how to have it elsewhere --------------------------------

const counter = $('count');
counter.lang = locale;
const query = new URLSearchParams(location.search);
const room = query.get('room');
const observes = query.get('observe') === '1';
if (room) counter.setAttribute('room', room);
counter.toggleAttribute('observe', observes);
say($('room'), room || 'lobby');

// Relative to this script, so that it is right under any prefix. The server says '..'
// where it serves this from `public/`.
const SERVER = './';
const home = new URL(SERVER, import.meta.url);

const stream = new URL('events', home);
if (room) stream.searchParams.set('room', room);
if (observes) stream.searchParams.set('observe', 1);
// In quotes where a shell would take `?` and its like for a pattern.
const address = stream.href.replaceAll("'", '%27');
say($('curl'), `curl -N ${/^[\w:/.%-]+$/.test(address) ? address : `'${address}'`}`);

const quoted = text => text.replaceAll('&', '&amp;').replaceAll('"', '&quot;');
const named = room ? ` room="${quoted(room)}"` : '';
say(
  $('embed'),
  `<script defer src="${quoted(new URL('client.js', home).href)}"></script>\n` +
    `<p><user-count${named}>–</user-count> ${says.here}</p>`
);

// ---- What is seen ----------------------------------------------------------

const calm = matchMedia('(prefers-reduced-motion: reduce)');

// Writes only what differs: screen readers read out what is written.
function say(element, text) {
  if (element.textContent !== text) element.textContent = text;
}

counter.addEventListener('user-count', ({ detail: { count, state } }) => {
  document.body.dataset.state = state;
  $('status').dataset.state = state;
  say($('status'), says[state]);
  if (count !== null) show(count);
  // No partial number either: the chart would keep a dip that never happened. And no gap
  // before the first number: what the server knows of the past leads up to it.
  if (state !== 'connecting') record(state === 'live' ? count : null);
  draw();
});

function show(count) {
  counter.dataset.length = counter.textContent.length; // the style's, to fit it in
  say($('people'), says.people[plural.select(count)] ?? says.people.other);
  document.title = `(${counter.textContent}) Headcount`;
  if (!calm.matches) {
    // The dot beats when the number changes.
    const beat = { boxShadow: ['0 0 0 0 currentColor', '0 0 0 0.5em transparent'] };
    $('status').animate(beat, { duration: 900, easing: 'ease-out', pseudoElement: '::before' });
  }
}

// ---- The chart ----------------------------------------------------------

const SPAN = 300000; // ms that it shows
const MERGE = 500; // ms; with SPAN, what bounds the memory
const WIDTH = 300; // of its viewBox
const HEIGHT = 100;

// What was known from when on; null for nothing. By the wall clock, for the
// other one stands still while a computer sleeps.
let points = [];

function record(number, at = Date.now()) {
  const now = Date.now();
  // None that is later than now, should the clock have been set back. Of
  // those before the span the last stays: it is the left edge.
  points = points.filter(
    (point, i) => point.at <= now && !(points[i + 1]?.at <= now - SPAN)
  );
  const last = points.at(-1);
  if (last?.number === number) return;
  if (last && at - last.at < MERGE) {
    last.number = number;
  } else {
    points.push({ at, number });
  }
}

// Begins with what the server knows of the time before this page was opened. It may know
// nothing, or keep it to itself; then the chart begins now.
async function begin() {
  const url = new URL('history?last=5m', home);
  if (room) url.searchParams.set('room', room);
  const response = await fetch(url);
  if (!response.ok) return;
  const { step, points: past } = await response.json();
  // Its clock may differ from this one's.
  const skew = Date.now() - Date.parse(response.headers.get('date'));
  const opened = points[0]?.at ?? Infinity;
  const before = past.flatMap(({ at, most }, i) => {
    const point = { at: at * 1000 + skew, number: most };
    const end = { at: point.at + step * 1000, number: null };
    // It may know nothing of a time in between.
    const isFollowed = i === past.length - 1 || past[i + 1].at === at + step;
    return isFollowed ? [point] : [point, end];
  });
  points = [...before.filter(({ at }) => at < opened), ...points];
  draw();
}

begin().catch(() => {});

function draw() {
  if (document.hidden) return;
  const start = Date.now() - SPAN;
  const steps = points
    .map(({ at, number }, i) => ({
      number,
      from: Math.max(at - start, 0),
      to: Math.min((points[i + 1]?.at ?? Infinity) - start, SPAN),
      joined: i > 0 && points[i - 1].number !== null,
      current: i === points.length - 1,
    }))
    .filter(({ number, to }) => number !== null && to >= 0);
  const numbers = steps.map(step => step.number);
  const high = Math.max(...numbers, 0);
  const low = Math.min(...numbers, high);

  const x = time => ((time / SPAN) * WIDTH).toFixed(2);
  const y = number => (HEIGHT - (number / Math.max(high, 1)) * HEIGHT).toFixed(2);
  let line = '';
  let area = '';
  let head = '';
  for (const { number, from, to, joined, current } of steps) {
    line += joined && line ? `V${y(number)}H${x(to)}` : `M${x(from)} ${y(number)}H${x(to)}`;
    area += `M${x(from)} ${HEIGHT}V${y(number)}H${x(to)}V${HEIGHT}Z`;
    head = current ? `M${WIDTH} ${y(number)}h0` : '';
  }
  $('line').setAttribute('d', line);
  $('area').setAttribute('d', area);
  $('head').setAttribute('d', head);

  const format = number => formatter.format(number);
  say($('top'), steps.length && high > 0 ? format(high) : '');
  const range = says.range.replace('{low}', format(low)).replace('{high}', format(high));
  say($('summary'), steps.length ? range : says.chart);
}

setInterval(draw, 1000);
document.addEventListener('visibilitychange', draw);
