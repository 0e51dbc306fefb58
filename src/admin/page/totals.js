/* The server as a whole: its numbers and limits, what it refused, and its nodes. */

import { $, bytes, legible, number, of, people, rate, rooms, say } from './text.js';

const NEAR = 0.9; // of a limit
const RECENT = 60000; // ms

let help = {};
// When each reason last occurred while this page was open.
const rose = new Map();
let known = null;

export function showTotals(totals, first) {
  if (first) {
    help = first.help;
    $('logout').hidden = !first.session;
    known = null;
  }
  say($('total'), number(totals.people));
  say($('in-rooms'), `${people(totals.people)} in ${number(totals.rooms)} ${rooms(totals.rooms)}`);
  say($('joins'), rate(totals.joins));
  say($('leaves'), rate(totals.leaves));
  limited('streams', totals.limits.streams);
  limited('open-rooms', totals.limits.rooms);
  limited('descriptors', totals.descriptors);
  say($('memory'), bytes(totals.memory));
  say($('version'), `Headcount ${totals.version}`);
  showRefusals(totals);
  showNodes(totals);
}

function limited(id, [taken, most]) {
  const isNear = most !== null && taken !== null && taken >= NEAR * most;
  say($(id), `${of([taken, most])}${isNear ? ', nearly all' : ''}`);
  $(id).classList.toggle('near', isNear);
}

/* Each reason, how often it occurred, and what helps. */
function reasons({ refusals, connections }) {
  const streams = Object.entries(refusals).map(([reason, times]) => [reason, times, help[reason]]);
  const limits = {
    max_connections: 'raise --max-connections, or the limit on file descriptors',
    max_connections_per_ip:
      'raise --max-connections-per-ip; if these clients come through a proxy, name it with --trusted-proxy',
    file_descriptors: 'raise the limit on file descriptors (ulimit -n, LimitNOFILE)',
  };
  const others = Object.entries(connections).flatMap(([what, by]) =>
    Object.entries(by).map(([limit, times]) => [`connection ${what}: ${limit}`, times, limits[limit]]));
  return [...streams, ...others];
}

function showRefusals(totals) {
  const all = reasons(totals);
  const now = Date.now();
  for (const [reason, times] of all) {
    if (known && times > (known.get(reason) ?? 0)) rose.set(reason, now);
  }
  known = new Map(all);
  const isNow = reason => now - (rose.get(reason) ?? -Infinity) < RECENT;
  all.sort(([a, x], [b, y]) => isNow(b) - isNow(a) || y - x || (a < b ? -1 : 1));
  $('nothing-refused').hidden = all.length > 0;
  $('refusals').hidden = all.length === 0;
  fill($('refusals'), all.map(([reason, times, helps]) => ({
    cells: [isNow(reason) ? `${reason} (now)` : reason, number(times), helps ?? ''],
    state: isNow(reason) ? 'now' : 'past',
  })));
}

function showNodes({ cluster, people: all, limits }) {
  $('cluster').hidden = !cluster;
  if (!cluster) return;
  const { node, id, linked, others, nodes } = cluster;
  const unlinked = 'This node is not connected to Redis: it counts alone, and its numbers are partial.';
  const more = nodes > others.length ? ` ${number(nodes - others.length)} more are not listed.` : '';
  say($('link'), `${linked ? `${number(nodes + 1)} nodes count together.` : unlinked}${more}`);
  const elsewhere = others.reduce((sum, other) => sum + other.people, 0);
  const here = {
    cells: [
      `${id} (this one, ${legible(node)})`,
      number(Math.max(all - elsewhere, 0)),
      number(limits.rooms[0]),
    ],
  };
  fill($('nodes'), [here, ...others.map(other =>
    ({ cells: [other.id, number(other.people), number(other.rooms)] }))]);
}

/* Fills a table, changing only the texts that differ. */
function fill(table, rows) {
  const [body] = table.tBodies;
  while (body.rows.length > rows.length) body.deleteRow(-1);
  for (const [i, { cells, state = '' }] of rows.entries()) {
    const row = body.rows[i] ?? body.insertRow();
    row.dataset.state = state;
    for (const [j, text] of cells.entries()) {
      const cell = row.cells[j] ?? row.insertCell();
      cell.className = table.tHead.rows[0].cells[j].className;
      say(cell, text);
    }
  }
}
