/* One room: how many people are there, and how many there were. */

import { band, ceiling, line } from './chart.js';
import { SPANS, past } from './past.js';
import { $, legible, number, people, say, tell } from './text.js';

const WIDTH = 600;
const HEIGHT = 100;
const AGAIN = 60000; // ms; how often longer spans are asked for again

let name = null;
let points = [];
let problem = '';
let count = null;
let asked = 0;

const span = () => SPANS[new FormData($('spans')).get('span')];

/** Shows this room. */
export function openRoom(room) {
  name = room;
  count = null;
  say($('room-name'), legible(room));
  say($('room-count'), '–');
  say($('room-peak'), '');
  load(true);
  scrollTo(0, 0);
}

/** Takes a frame of the feed of this room. */
export function showRoom({ rooms }) {
  const told = rooms.find(([room]) => room === name);
  if (told) {
    let peak;
    [, count, peak] = told;
    say($('room-count'), number(count));
    say($('room-people'), `${people(count)} now`);
    if (peak !== undefined) say($('room-peak'), `Peak today: ${number(peak)}`);
  }
  if (count !== null) document.title = `(${number(count)}) ${legible(name)} – Headcount`;
  if (Date.now() - asked > Math.min(span().step * 1000, AGAIN)) load(false);
}

/** Stops asking for the room that was shown. */
export function closeRoom() {
  name = null;
}

async function load(isAnswer) {
  const [room, wanted] = [name, span()];
  asked = Date.now();
  const found = { points: [], problem: '' };
  try {
    found.points = (await past(room, wanted)).points;
  } catch (error) {
    found.problem = error.message;
  }
  // The answer may come when another one is wanted.
  if (room !== name || wanted !== span()) return;
  ({ points, problem } = found);
  draw(isAnswer);
}

function draw(isAnswer) {
  const { length, step, says } = span();
  const to = Date.now() / 1000;
  const x = at => Math.min(Math.max((at - (to - length)) / length, 0), 1) * WIDTH;
  const top = ceiling(Math.max(...points.map(point => point.most), 1));
  const y = value => HEIGHT - (value / top) * HEIGHT;
  // A point holds for a step. Where nothing is known, there is a gap.
  const through = of => points.flatMap((point, i) => {
    const gap = i > 0 && point.at > points[i - 1].at + step ? [null] : [];
    return [...gap, [x(point.at), y(of(point))], [x(point.at + step), y(of(point))]];
  });
  $('band').setAttribute('d', band(through(point => point.most), through(point => point.least)));
  $('mean').setAttribute('d', line(through(point => point.mean)));
  say($('top'), number(top));
  say($('from'), `${says} ago`);
  tell($('chart-summary'), problem || summary(says), isAnswer);
}

function summary(says) {
  if (points.length === 0) return `Nothing is known of the last ${says} yet.`;
  const least = Math.min(...points.map(point => point.least));
  const most = Math.max(...points.map(point => point.most));
  const mean = points.reduce((sum, point) => sum + point.mean, 0) / points.length;
  return `Last ${says}: low ${number(least)}, high ${number(most)}, mean ${mean.toFixed(1)}`;
}

$('spans').addEventListener('change', () => load(true));
$('spans').addEventListener('submit', event => event.preventDefault());
