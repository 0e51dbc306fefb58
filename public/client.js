/*
 * The page's side of Headcount: opens the stream, shows the number, draws the
 * chart, and never gives up.
 *
 * If you come from the Socket.IO exercise ("handle a disconnect"), this is
 * where each thing went:
 *
 *   client  socket.on('user count', data => …)
 *           → source.addEventListener('user count', event => …), below
 *   server  io.on('connection', socket => { ++currentUsers; … })
 *           → the join, `Room::join` in src/room.rs
 *   server  socket.on('disconnect', () => { --currentUsers; … })
 *           → `impl Drop for Presence` in src/room.rs
 *   server  io.emit('user count', currentUsers)
 *           → the room's broadcast channel, `Room::publish` in src/room.rs
 */
(() => {
  'use strict';

  const $ = id => document.getElementById(id);
  const formatter = new Intl.NumberFormat('en');

  // The stream's address. It is found from this script's own, so that it is
  // right under any prefix. The script is served under `public/` too, the
  // stream is not.
  const base = new URL('.', document.currentScript.src);
  base.pathname = base.pathname.replace(/\/public\/$/, '/');
  const stream = new URL('events', base);
  const room = new URLSearchParams(location.search).get('room');
  if (room) {
    stream.searchParams.set('room', room);
    $('room').textContent = room;
  }
  // In quotes where a shell would take `?` and its like for a pattern.
  const address = stream.href.replaceAll("'", '%27');
  $('curl').textContent = `curl -N ${/^[\w:/.%-]+$/.test(address) ? address : `'${address}'`}`;

  // ---- The stream ---------------------------------------------------------

  const WORDS = {
    connecting: 'Connecting…',
    live: 'Live',
    reconnecting: 'No connection. Reconnecting…',
    stale: 'No word from the server, so the number may be stale. Trying again…',
  };
  const BACKOFF_LEAST = 1000;
  const BACKOFF_MOST = 30000;
  // The longest `retry:` that the server sends.
  const BROWSER_RETRY = 5000;
  // Within these the server's keep-alive is believed.
  const KEEP_ALIVE_LEAST = 1000;
  const KEEP_ALIVE_MOST = 120000;

  let state = 'connecting';
  let source = null;
  let timer; // The one thing that happens next if nothing is heard.
  let failures = 0; // in a row
  let keepAlive = 15000; // the server's default, until its heartbeats tell
  let gap = 0; // before the newest heartbeat
  let previous = null; // the number before, on this connection
  let heardAt = 0; // when, by the wall clock

  function open() {
    close();
    if (document.prerendering) {
      // Nobody looks at this page yet, and perhaps nobody ever will.
      document.addEventListener('prerenderingchange', open, { once: true });
      return;
    }
    source = new EventSource(stream);
    source.addEventListener('user count', event => heard(event.data));
    source.addEventListener('error', failed);
    expectWord();
  }

  function close() {
    clearTimeout(timer);
    source?.close();
    source = null;
  }

  function heard(data) {
    if (!/^\d{1,15}$/.test(data)) return; // not a number of people
    const number = Number(data);
    const now = Date.now();
    if (number === previous) learn(now - heardAt);
    previous = number;
    heardAt = now;
    failures = 0;
    expectWord();
    enter('live');
    show(number);
  }

  // A number said again is a heartbeat, and the time before it the server's
  // keep-alive. The longer of two such times counts, because a heartbeat that
  // was held up on its way makes the time after it too short.
  function learn(time) {
    if (time < 50) return; // both were held up, and came together
    keepAlive = Math.min(Math.max(time, gap, KEEP_ALIVE_LEAST), KEEP_ALIVE_MOST);
    gap = time;
  }

  function expectWord(grace = 0) {
    clearTimeout(timer);
    timer = setTimeout(silent, 2.5 * keepAlive + grace);
  }

  // A connection can die without a word (the other side lost power, a network
  // was left), and no browser notices: this is for that.
  function silent() {
    lost('stale', heardAt);
    // Or the server only speaks more seldom than was thought. To expect half as
    // much each time finds that out, and does not press a server that hangs.
    keepAlive = Math.min(2 * keepAlive, KEEP_ALIVE_MOST);
    open();
  }

  function failed() {
    lost('reconnecting');
    if (source.readyState === EventSource.CLOSED) {
      // An answer that is no stream, such as 503: the browser gives up for
      // good. The wait is random, so that not all pages come back together.
      close();
      const most = Math.min(BACKOFF_LEAST * 2 ** failures, BACKOFF_MOST);
      failures += 1;
      timer = setTimeout(open, Math.random() * most);
    } else {
      // The browser comes back by itself, in its own time.
      expectWord(BROWSER_RETRY);
    }
  }

  function lost(why, since = Date.now()) {
    previous = null; // The first number of the next connection is no heartbeat.
    enter(why);
    record(null, since);
    draw();
  }

  addEventListener('online', () => {
    if (state !== 'live') open();
  });
  // Chromium keeps a page that one may come back to, and its stream with it:
  // the visitor would still be counted.
  addEventListener('pagehide', () => {
    lost('reconnecting');
    close();
  });
  addEventListener('pageshow', event => {
    if (event.persisted) open();
  });

  // ---- What is seen -------------------------------------------------------

  const calm = matchMedia('(prefers-reduced-motion: reduce)');

  // Writes only what differs: screen readers read out what is written, and a
  // heartbeat is no news.
  function say(element, text) {
    if (element.textContent !== text) element.textContent = text;
  }

  function enter(next) {
    if (next === state) return;
    state = next;
    document.body.dataset.state = next;
    $('status').dataset.state = next;
    say($('status'), WORDS[next]);
  }

  function show(number) {
    const text = formatter.format(number);
    $('count').dataset.length = text.length; // the style's, to fit it in
    say($('count'), text);
    say($('people'), number === 1 ? 'person is here now' : 'people are here now');
    document.title = `(${text}) Headcount`;
    if (!calm.matches) {
      // The dot beats with each word from the server.
      const beat = { boxShadow: ['0 0 0 0 currentColor', '0 0 0 0.5em transparent'] };
      $('status').animate(beat, { duration: 900, easing: 'ease-out', pseudoElement: '::before' });
    }
    record(number);
    draw();
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
    say(
      $('summary'),
      steps.length ? `Last 5 minutes: low ${format(low)}, high ${format(high)}` : 'Last 5 minutes'
    );
  }

  setInterval(draw, 1000);
  document.addEventListener('visibilitychange', draw);

  open();
})();
