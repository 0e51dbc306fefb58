/*
 * The operator's dashboard: the overview, or the room that the address names after its `#`.
 * One feed serves both.
 */
import { listen } from './feed.js';
import { closeRoom, openRoom, showRoom } from './room.js';
import { onWish, remember, showRooms, wish } from './rooms.js';
import { $, number, say } from './text.js';
import { showTotals } from './totals.js';

let end = () => {};
let state = 'connecting';
let since = null;
let view = null;

function room() {
  try {
    return decodeURIComponent(location.hash.slice(1)) || null;
  } catch {
    return null;
  }
}

/** Shows what the address says. */
function go() {
  const name = room();
  if (view !== null && name === view.name) return;
  const isFirst = view === null;
  view = { name };
  $('overview').hidden = name !== null;
  $('one').hidden = name === null;
  if (name === null) closeRoom();
  else openRoom(name);
  // So that a screen reader says what is shown now.
  if (!isFirst) (name === null ? $('rooms-title') : $('room-name')).focus({ preventScroll: true });
  subscribe();
}

function subscribe() {
  end();
  const { name } = view;
  const parameters = name === null ? wish() : { room: name };
  end = listen(parameters, { state: shows, told });
  if (name === null) seed(parameters);
}

function told(frame, isFirst) {
  showTotals(frame.totals, isFirst ? frame : null);
  if (view.name === null) {
    document.title = `(${number(frame.totals.people)}) Headcount`;
    showRooms(frame, isFirst);
  } else {
    showRoom(frame);
  }
  partial = frame.totals.partial;
  stopping = frame.totals.stopping;
  describe();
}

/* The feed has only what changes, so the sparklines ask for what was before. */
async function seed(parameters) {
  const answer = await fetch(`api/rooms?${new URLSearchParams({ ...parameters, recent: 1 })}`)
    .then(answer => (answer.ok ? answer.json() : null), () => null);
  for (const { room: name, recent } of answer?.rooms ?? []) if (recent) remember(name, recent);
}

// ---- Whether the numbers are right -----------------------------------------

let partial = false;
let stopping = false;

function shows(now) {
  if (now !== 'live') since ??= new Date();
  else since = null;
  state = now;
  describe();
}

function describe() {
  const shown = state === 'live' && (partial || stopping) ? 'partial' : state;
  document.body.dataset.state = shown;
  $('status').dataset.state = shown;
  const words = {
    live: 'Live',
    partial: stopping
      ? 'The server is stopping'
      : 'Live, but some people may not be counted yet',
    stale: `The connection is lost: the numbers are those of ${since?.toLocaleTimeString('en-GB')}`,
    connecting: 'Connecting…',
  };
  say($('status'), words[shown]);
}

// A page in the back/forward cache must not keep its feed.
addEventListener('pagehide', () => end());
addEventListener('pageshow', event => event.persisted && subscribe());
addEventListener('hashchange', go);
onWish(subscribe);

// The cookie was kept, or the form would be here.
if (location.search === '?signed-in') history.replaceState(null, '', location.pathname + location.hash);
go();
