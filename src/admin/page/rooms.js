/* The list of rooms. Only rows that change are touched, and only sparklines that can be
   seen are drawn. */

import { line } from './chart.js';
import { $, legible, number, rooms as words, say, tell } from './text.js';

const STEP = 100; // rows that "Show more" adds
const MOST = 1000; // rows; the server tells of no more
const SPAN = 300000; // ms that a sparkline shows
const WIDTH = 100;
const HEIGHT = 24;

const body = $('list').tBodies[0];
const rows = new Map();
// What the last minutes of rooms were that the feed has not told of yet.
const early = new Map();
// Rooms that the last connection told of and this one has not yet.
let stale = new Set();
let found = 0;
let limit = STEP;
let isHeld = false;
// Whether somebody waits for what a search finds.
let isAsked = false;

/** Which rooms the list wants to hear of. */
export function wish() {
  let q = $('search').value.trim();
  // No name is longer.
  while (new TextEncoder().encode(q).length > 128) q = q.slice(0, -1);
  return { limit, q };
}

/** Empties the list, because other rooms are wanted. */
function clear() {
  for (const { element } of rows.values()) seen.unobserve(element);
  rows.clear();
  early.clear();
  body.replaceChildren();
}

/** Takes a frame. */
export function showRooms(frame, isFirst) {
  const known = isFirst ? new Set(rows.keys()) : new Set();
  for (const [name, count, peak] of frame.rooms) {
    known.delete(name);
    const row = rows.get(name) ?? make(name);
    if (row.points.at(-1)?.[1] !== count) row.points.push([Date.now(), count]);
    forget(row);
    row.count = count;
    row.peak = peak ?? null;
    say(row.now, number(count));
    say(row.highest, row.peak === null ? '–' : number(row.peak));
    if (row.isSeen) draw(row);
  }
  // What the first frame lacks may follow in the next ones. If it does not, it is gone.
  if (isFirst) stale = known;
  for (const [name] of frame.rooms) stale.delete(name);
  const gone = frame.more ? frame.gone ?? [] : [...(frame.gone ?? []), ...stale];
  if (!frame.more) stale = new Set();
  for (const name of gone) remove(name);
  found = frame.found;
  arrange();
  describe();
}

function make(name) {
  const element = document.createElement('tr');
  const cell = className => {
    const made = element.insertCell();
    made.className = className;
    return made;
  };
  const heading = document.createElement('th');
  heading.scope = 'row';
  const link = document.createElement('a');
  link.href = `#${encodeURIComponent(name)}`;
  const isolated = document.createElement('bdi');
  isolated.textContent = legible(name);
  link.append(isolated);
  heading.append(link);
  element.append(heading);
  const [now, highest, spark] = ['number', 'number', 'spark'].map(cell);
  const svg = document.createElementNS('http://www.w3.org/2000/svg', 'svg');
  svg.setAttribute('viewBox', `0 0 ${WIDTH} ${HEIGHT}`);
  svg.setAttribute('preserveAspectRatio', 'none');
  svg.setAttribute('aria-hidden', 'true');
  const path = document.createElementNS(svg.namespaceURI, 'path');
  svg.append(path);
  spark.append(svg);
  const row = { name, element, link, now, highest, path, points: [], count: 0, peak: null, isSeen: false };
  rows.set(name, row);
  element.room = row;
  seen.observe(element);
  if (early.has(name)) remember(name, early.get(name));
  early.delete(name);
  return row;
}

function remove(name) {
  const row = rows.get(name);
  if (!row) return;
  seen.unobserve(row.element);
  row.element.remove();
  rows.delete(name);
}

/** Takes the last minutes of a room: `[[seconds, count], …]`. */
export function remember(name, points) {
  const row = rows.get(name);
  if (!row) {
    // The feed is yet to tell of it.
    early.set(name, points);
    return;
  }
  const first = row.points[0]?.[0] ?? Infinity;
  const older = points.map(([at, count]) => [at * 1000, count]).filter(([at]) => at < first);
  row.points = [...older, ...row.points];
  if (row.isSeen) draw(row);
}

// ---- The order -------------------------------------------------------------

const before = (a, b) => b.count - a.count || (a.name < b.name ? -1 : 1);

/* Sorts the rows, the largest first. Not while the pointer or the focus is among them: a row
   that somebody is about to choose must not move away. */
function arrange() {
  const sorted = [...rows.values()].sort(before);
  for (const row of sorted) if (!row.element.isConnected) body.append(row.element);
  if (isHeld || body.contains(document.activeElement)) return;
  let next = body.firstElementChild;
  for (const { element } of sorted) {
    if (element === next) next = next.nextElementSibling;
    else body.insertBefore(element, next);
  }
}

body.addEventListener('pointerenter', () => (isHeld = true));
body.addEventListener('pointerleave', () => {
  isHeld = false;
  arrange();
});
body.addEventListener('focusout', () => setTimeout(arrange));

// ---- The sparklines --------------------------------------------------------

const seen = new IntersectionObserver(entries => {
  for (const { target, isIntersecting } of entries) {
    target.room.isSeen = isIntersecting;
    if (isIntersecting) draw(target.room);
  }
}, { rootMargin: '200px' });

/* Drops the points before the span, except the last one, which is its left edge. */
function forget(row) {
  const start = Date.now() - SPAN;
  while (row.points[1]?.[0] <= start) row.points.shift();
}

/* Each number holds until the next one. */
function draw(row) {
  const now = Date.now();
  const start = now - SPAN;
  forget(row);
  const most = Math.max(...row.points.map(([, count]) => count), 1);
  const x = at => (Math.max(at - start, 0) / SPAN) * WIDTH;
  const y = count => HEIGHT - 1 - (count / most) * (HEIGHT - 2);
  const steps = row.points.flatMap(([at, count], i) => {
    const until = row.points[i + 1]?.[0] ?? now;
    return [[x(at), y(count)], [x(until), y(count)]];
  });
  row.path.setAttribute('d', line(steps));
}

// They move to the left even if nothing changes.
setInterval(() => {
  if (document.hidden) return;
  for (const row of rows.values()) if (row.isSeen) draw(row);
}, 5000);

// ---- Which rooms -----------------------------------------------------------

function describe() {
  const shown = rows.size;
  const all = `${number(found)} ${words(found)}`;
  const text = found === 0
    ? $('search').value.trim() ? 'No room has that in its name.' : 'Nobody is in any room.'
    : shown < found ? `The largest ${number(shown)} of ${all}` : all;
  tell($('found'), text, isAsked);
  isAsked = false;
  $('list').hidden = shown === 0;
  $('more').hidden = limit >= Math.min(found, MOST);
}

/** Calls `again` whenever other rooms are wanted. */
export function onWish(again) {
  let typed;
  const changed = () => {
    limit = STEP;
    isAsked = true;
    clear();
    again();
  };
  $('search').addEventListener('input', () => {
    clearTimeout(typed);
    typed = setTimeout(changed, 200);
  });
  $('search').form.addEventListener('submit', event => {
    event.preventDefault();
    clearTimeout(typed);
    changed();
  });
  $('more').addEventListener('click', () => {
    limit = Math.min(limit + STEP, MOST);
    isAsked = true;
    again();
  });
}
