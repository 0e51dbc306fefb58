/*
 * The browser's side of Headcount: <user-count>, an element that shows how many
 * people are here, and watch(), the same without the element.
 *
 *   <script defer src="https://count.example.org/client.js"></script>
 *   <p><user-count room="/blog/hello">–</user-count> reading this now</p>
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

  // Two widgets that were pasted into one page bring the script twice.
  if (globalThis.headcount?.watch) return;

  const FIRST_WORD = 5000; // ms in which a stream says its first number
  const BROWSER_RETRY = 5000; // ms, the longest `retry:` that the server sends
  const BACKOFF_LEAST = 1000; // ms
  const BACKOFF_MOST = 30000; // ms
  const KEEP_ALIVE = 15000; // ms, the server's default, until it says its own
  const KEEP_ALIVE_LEAST = 1000; // ms: a server may be faster, a network is not
  const ANSWER = 2000; // ms in which the tab that leads answers another
  const LATE = 1500; // ms that a timer may be late: hidden tabs have one a second
  // Where the server is, from here. It says '..' where it serves this from `public/`.
  const SERVER = './';

  /** The feeds that somebody listens to, by the address of their stream. */
  const feeds = new Map();

  /**
   * One room's number, kept fresh by a stream of this tab, for all who listen to
   * it here. It is open from its first listener to its last, and while it is
   * open it never gives up.
   */
  class Feed {
    count = null; // until the first number
    state = 'closed';
    listeners = new Set();
    source = null;
    isPartial = false; // as its stream says
    timer; // The one thing that happens next if nothing is heard,
    due = 0; // and when, by the wall clock
    failures = 0; // in a row
    keepAlive = KEEP_ALIVE;
    token = ''; // of the seat that this visitor has at the server

    constructor(room, url) {
      this.room = room;
      this.url = url;
    }

    add(listener) {
      this.listeners.add(listener);
      if (this.state === 'closed') this.open();
    }

    remove(listener) {
      this.listeners.delete(listener);
      // Who replaces one element by another wants no stream to end in between.
      queueMicrotask(() => {
        if (this.listeners.size || feeds.get(this.url) !== this) return;
        feeds.delete(this.url);
        this.close();
      });
    }

    open() {
      this.waits();
      if (!document.prerendering) return this.start();
      // Nobody looks at this page yet, and perhaps nobody ever will.
      const activated = () => this.state !== 'closed' && this.start();
      document.addEventListener('prerenderingchange', activated, { once: true });
    }

    close() {
      this.stop();
      this.tell('closed');
    }

    start() {
      this.connect();
    }

    stop() {
      this.disconnect();
    }

    /** Tells the listeners what is new, if anything is. */
    tell(state, count = this.count) {
      if (state === this.state && count === this.count) return;
      this.state = state;
      this.count = count;
      for (const listener of [...this.listeners]) {
        try {
          listener(count, state);
        } catch (error) {
          reportError(error); // One listener's fault is not the others'.
        }
      }
    }

    waits() {
      this.tell(this.count === null ? 'connecting' : 'stale');
    }

    connect() {
      this.disconnect();
      const url = new URL(this.url);
      // EventSource says its last event's id by itself when it reconnects, but to
      // a new one it can't be given. (The name of the parameter is Mercure's.)
      if (this.token) url.searchParams.set('lastEventID', this.token);
      this.source = new EventSource(url);
      this.source.addEventListener('open', () => (this.isPartial = false));
      this.source.addEventListener('partial', event => this.doubts(event.data === 'true'));
      this.source.addEventListener('user count', event => this.heard(event));
      this.source.addEventListener('keep-alive', event => this.beats(Number(event.data)));
      this.source.addEventListener('error', () => this.failed());
      // A server that hangs is not to be pressed. Yet the wait grows slowly: after
      // a lost network it takes browsers some tries to use up their dead connections.
      this.expect(FIRST_WORD + (this.failures && this.backoff()));
    }

    disconnect() {
      clearTimeout(this.timer);
      this.source?.close();
      this.source = null;
    }

    heard({ data, lastEventId }) {
      if (!/^\d{1,15}$/.test(data)) return; // not a number of people
      this.failures = 0;
      this.token = lastEventId;
      this.refresh(Number(data));
    }

    // What is so from the start is said before the first number.
    doubts(isPartial) {
      this.isPartial = isPartial;
      if (this.state === 'live' || this.state === 'partial') this.refresh(this.count);
    }

    /** The stream says that this is the number now. */
    refresh(count) {
      this.tell(this.isPartial ? 'partial' : 'live', count);
      this.expectBeat();
    }

    // After so much silence the server says its number again.
    beats(interval) {
      if (interval > 0) this.keepAlive = Math.max(interval, KEEP_ALIVE_LEAST);
      this.expectBeat();
    }

    // A connection can die without a word (the other side lost power, a network
    // was left), and no browser notices: this is for that.
    expectBeat() {
      this.expect(2.5 * this.keepAlive);
    }

    expect(time) {
      this.next(time, () => this.silent());
    }

    next(time, action) {
      clearTimeout(this.timer);
      this.due = Date.now() + time;
      this.timer = setTimeout(action, time);
    }

    silent() {
      this.waits();
      this.failures += 1;
      this.connect();
    }

    failed() {
      this.waits();
      if (this.source.readyState === EventSource.CLOSED) {
        // An answer that is no stream, such as 503: the browser gives up for
        // good. The wait is random, so that not all pages come back together.
        this.disconnect();
        this.next(this.backoff(), () => this.connect());
        this.failures += 1;
      } else {
        // The browser comes back by itself, when the server's `retry:` says.
        this.expect(BROWSER_RETRY + FIRST_WORD);
      }
    }

    backoff() {
      return Math.random() * Math.min(BACKOFF_LEAST * 2 ** this.failures, BACKOFF_MOST);
    }

    /** The network is back, and what was open before is not to be trusted. */
    online() {
      if (this.state !== 'closed' && !document.prerendering) this.connect();
    }
  }

  /**
   * The same for all tabs of a browser together: the tab that holds the lock has
   * the stream, and tells the others what it hears.
   */
  class SharedFeed extends Feed {
    leads = false;

    get name() {
      return `headcount ${this.url}`;
    }

    start() {
      try {
        this.channel = new BroadcastChannel(this.name);
        this.channel.onmessage = event => this.told(event.data);
        this.follow();
      } catch {
        this.goAlone();
      }
    }

    stop() {
      this.term?.abort();
      this.channel?.close();
      this.channel = null;
      this.leads = false;
      super.stop();
    }

    // Web Locks exist only where a page is secure, and neither they nor the
    // channel where a browser keeps an embedded page from all that is shared.
    goAlone() {
      this.stop();
      this.leads = true;
      this.connect();
    }

    follow() {
      this.leads = false;
      this.disconnect();
      this.stand();
      this.ask();
    }

    /** Leads as soon as nobody else does; by `force`, at once. */
    stand(force = false) {
      this.term?.abort();
      this.term = new AbortController();
      const { signal } = this.term;
      const lead = () =>
        new Promise(resign => {
          if (signal.aborted) return resign();
          signal.addEventListener('abort', resign);
          this.leads = true;
          this.connect();
        });
      navigator.locks.request(this.name, force ? { steal: true } : { signal }, lead).catch(error => {
        if (signal.aborted) return;
        if (error.name === 'AbortError') this.follow(); // Somebody else leads by force.
        else this.goAlone();
      });
    }

    /** Asks for the number. A leader that doesn't answer leads no more. */
    ask() {
      this.channel.postMessage('ask');
      this.next(ANSWER, () => this.stand(true));
    }

    told(what) {
      if (what === 'ask') {
        // A tab that a browser has frozen still gets messages, but nothing from the
        // network, and its timer stands still: then it had better not answer.
        if (this.leads && Date.now() < this.due + LATE) this.say();
      } else if (!this.leads) {
        this.token = what.token;
        this.keepAlive = what.keepAlive;
        this.expectBeat();
        this.tell(what.state, what.count ?? this.count);
      }
    }

    say() {
      const { state, count, token, keepAlive } = this;
      this.channel?.postMessage({ state, count, token, keepAlive });
    }

    tell(state, count) {
      super.tell(state, count);
      if (this.leads) this.say();
    }

    beats(interval) {
      super.beats(interval);
      this.say();
    }

    silent() {
      if (this.leads) return super.silent();
      this.waits();
      this.ask();
    }

    online() {
      if (this.leads) super.online();
    }
  }

  addEventListener('online', () => feeds.forEach(feed => feed.online()));
  // Chromium keeps a page that one may come back to, and its streams with it:
  // the visitor would still be counted.
  addEventListener('pagehide', () => feeds.forEach(feed => feed.close()));
  addEventListener('pageshow', event => {
    if (event.persisted) feeds.forEach(feed => feed.open());
  });

  /** The feed of a room; one for all who ask for the same. */
  function feedOf({ room, src, per, observe }) {
    const name = room === 'page' ? location.pathname : room || 'lobby';
    const base = src ? new URL(`${src.replace(/\/+$/, '')}/`, document.baseURI) : home();
    const stream = new URL('events', base);
    stream.searchParams.set('room', name);
    stream.searchParams.set('tell', 'keep-alive,partial');
    if (observe) stream.searchParams.set('observe', 1);
    // When the tab that leads is closed, another one is about to come for its seat.
    const shared = per === 'browser';
    if (shared) stream.searchParams.set('hold', 1);
    const url = stream.href;
    if (!feeds.has(url)) feeds.set(url, new (shared ? SharedFeed : Feed)(name, url));
    return feeds.get(url);
  }

  /** Where the server is, by the script's own address, so that any prefix is right. */
  function home() {
    return new URL(SERVER, headcount.src ?? location.origin);
  }

  /**
   * Calls `listener(count, state)` with the first number of a room, and whenever
   * number or state change; returns the function that ends this.
   */
  function watch(options, listener) {
    const feed = feedOf(options);
    const hear = (count, state) => {
      if (count !== null) listener(count, state);
    };
    let stopped = false;
    feed.add(hear);
    // Not before the caller has the function to stop with.
    if (feed.count !== null) {
      queueMicrotask(() => stopped || hear(feed.count, feed.state));
    }
    return () => {
      stopped = true;
      feed.remove(hear);
    };
  }

  /** <user-count room src per observe show format> */
  class UserCount extends HTMLElement {
    static observedAttributes = ['room', 'src', 'per', 'observe', 'show', 'format', 'lang'];

    #feed = null;
    #fallback = null;
    #seen = {};
    #listener = () => this.#render();

    /** How many are in the room, oneself included; null until that is known. */
    get count() {
      return this.#feed?.count ?? null;
    }

    /** `connecting`, `live`, `partial`, `stale` or `closed`. */
    get state() {
      return this.#feed?.state ?? 'closed';
    }

    connectedCallback() {
      // `room="page"` goes along when a page changes its address by itself.
      globalThis.navigation?.addEventListener('currententrychange', this);
      this.#settle();
    }

    disconnectedCallback() {
      globalThis.navigation?.removeEventListener('currententrychange', this);
      this.#settle();
    }

    attributeChangedCallback() {
      this.#settle();
    }

    handleEvent() {
      this.#settle();
    }

    // Soon, so that several changes are one, and an element that is only moved
    // doesn't leave its room.
    #settle() {
      queueMicrotask(() => {
        const feed = this.isConnected ? feedOf(this.#options()) : null;
        const last = this.#feed;
        if (feed !== last) {
          this.#feed = feed;
          // Another room's number says nothing here.
          this.#fallback ??= this.textContent;
          if (feed && feed.count === null) this.#write(this.#fallback);
          feed?.add(this.#listener);
          last?.remove(this.#listener);
        }
        this.#render();
      });
    }

    #options() {
      const [room, src, per] = ['room', 'src', 'per'].map(name => this.getAttribute(name));
      return { room, src, per, observe: this.hasAttribute('observe') };
    }

    #render() {
      const { count, state } = this;
      const room = this.#feed?.room ?? this.#seen.room;
      const others = this.getAttribute('show') === 'others';
      if (count !== null) {
        const number = count - (others && !this.hasAttribute('observe') ? 1 : 0);
        this.#write(this.#format(number));
        if (others || this.#seen.others) this.hidden = others && number < 1;
      }
      this.dataset.state = state;
      const seen = this.#seen;
      this.#seen = { room, count, state, others };
      if (seen.room !== room || seen.count !== count || seen.state !== state) {
        const detail = { room, count, state };
        this.dispatchEvent(new CustomEvent('user-count', { bubbles: true, detail }));
      }
    }

    // Only what differs: screen readers read out what is written.
    #write(text) {
      if (this.textContent !== text) this.textContent = text;
    }

    #format(number) {
      const compact = { notation: 'compact', maximumFractionDigits: 1 };
      const options = this.getAttribute('format') === 'compact' ? compact : {};
      try {
        return new Intl.NumberFormat(this.lang || navigator.languages, options).format(number);
      } catch {
        return new Intl.NumberFormat([], options).format(number); // That is no language.
      }
    }
  }

  const headcount = { src: document.currentScript?.src, watch, UserCount };
  globalThis.headcount = headcount;
  if (!customElements.get('user-count')) customElements.define('user-count', UserCount);
})();
