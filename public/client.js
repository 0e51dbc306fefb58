/*! Headcount, MIT OR Apache-2.0 */
/*
 * The browser's side of Headcount: <user-count>, an element that shows how many
 * people are here, and watch(), which does the same without an element.
 *
 *   <script defer src="https://count.example.org/client.js"></script>
 *   <p><user-count room="page">–</user-count> reading this now</p>
 *
 * From the number on the page to the socket:
 *
 *   UserCount, watch()  listen to a
 *   Feed      one room's number, as this tab knows it; all feeds of one server are in a
 *   Tab       which wants some rooms and has streams for them (per="tab"), or in a
 *   Browser   which is the same for all tabs together: one of them leads, has the
 *             streams, and tells the others (per="browser")
 *   Stream    an EventSource of up to 32 rooms, which never gives up and never loses its
 *             seat
 *
 * If you come from the Socket.IO exercise ("handle a disconnect"), this is
 * where each thing went:
 *
 *   client  socket.on('user count', data => …)
 *           → source.addEventListener('user count', event => …), below
 *   server  io.on('connection', socket => { ++currentUsers; … })
 *           → the join, `Room::enter` in src/room.rs
 *   server  socket.on('disconnect', () => { --currentUsers; … })
 *           → `impl Drop for Presence` in src/presence.rs
 *   server  io.emit('user count', currentUsers)
 *           → the room's broadcast channel, in the same critical section
 */
(() => {
  // On a server that renders pages there is nobody to count.
  if (!globalThis.HTMLElement) return;

  // Where the server is, relative to this script. The server writes '..' here when it serves
  // this from `public/`.
  const SERVER = './';
  const FIRST_WORD = 5000; // ms in which a stream says its first number
  const KEEP_ALIVE = 15000; // ms, the server's default, until it says its own
  const SECOND = 1000; // ms, the least keep-alive: a server may be faster, a network is not

  const KNOWN = { per: ['browser', 'tab'], show: ['others'], format: ['compact'], when: ['visible'] };

  const warned = new Set();
  function warn(text) {
    if (!warned.has(text)) console.warn(`headcount: ${text}`);
    warned.add(text);
  }

  // Two widgets pasted into one page load the script twice.
  const src = document.currentScript?.src;
  const directory = script => new URL(SERVER, script).href;
  const first = globalThis.headcount;
  if (first?.watch) {
    if (src && first.src && directory(src) !== directory(first.src)) {
      warn(`elements without src="…" count at ${directory(first.src)}, not at ${directory(src)}`);
    }
    return;
  }

  const bytesOf = text => new TextEncoder().encode(text);
  const isName = name =>
    typeof name === 'string' && name && bytesOf(name).length <= 128 && !/\p{Cc}/u.test(name);
  const isCount = count => Number.isSafeInteger(count) && count >= 0;

  /** Does one thing later, unless it is given another one before that. */
  class Waiting {
    due = 0; // by the wall clock

    expect(time, action = () => this.silent()) {
      clearTimeout(this.timer);
      this.due = Date.now() + time;
      this.timer = setTimeout(action, time);
    }

    // A connection can die silently (the other side lost power, the device left a network),
    // and browsers don't notice. The server repeats the number when it has been silent for
    // its keep-alive.
    expectBeat(keepAlive) {
      this.expect(2.5 * keepAlive);
    }
  }

  const roomsOf = list => list.slice(0, 1000).filter(isName);

  /** One room's number, as this tab knows it, for all who listen to it in this tab. */
  class Feed {
    count = null; // until the first number
    state = 'closed';
    reason; // why it is refused
    listeners = new Map(); // to when they listen

    constructor(room, tab) {
      this.room = room;
      this.tab = tab;
    }

    add(listener, when) {
      this.listeners.set(listener, when);
      if (this.state === 'closed' && this.isWanted) this.waits();
      this.tab?.change();
    }

    remove(listener) {
      this.listeners.delete(listener);
      this.tab?.change();
    }

    get isWanted() {
      return [...this.listeners.values()].some(when => when !== 'visible' || !isAway);
    }

    /** Tells the listeners what is new, if anything is. */
    tell(state, count = this.count, reason) {
      if (state === this.state && count === this.count && reason === this.reason) return;
      Object.assign(this, { state, count, reason });
      if (reason) warn(reason);
      for (const listener of [...this.listeners.keys()]) {
        try {
          listener(count, state, reason);
        } catch (error) {
          reportError(error); // One listener's fault is not the others'.
        }
      }
    }

    waits() {
      if (this.state !== 'refused') this.tell(this.count === null ? 'connecting' : 'stale');
    }
  }

  /** A stream of some rooms, which may change. While it is open, it never gives up. */
  class Stream extends Waiting {
    source; // that is heard
    next; // that is to take its place
    carried = []; // the rooms of the source
    fresh = 'live'; // or 'partial', as the source says
    failures = 0; // in a row
    again; // the timer of the next try, after a refusal

    /** `token` names the seat that this visitor has at the server. */
    constructor(tab, token = '', rooms = []) {
      super();
      this.tab = tab;
      this.token = token;
      this.rooms = new Set(rooms);
    }

    takes(room) {
      const query = [...this.rooms, room].map(encodeURIComponent).join('&room=');
      return this.rooms.size < 32 && query.length < 6000; // Servers take some 8,000.
    }

    /** Opens a new source for the current rooms, as soon as it can. */
    update() {
      const isRight = this.source && this.carried.join('\n') === [...this.rooms].join('\n');
      // A change during another one waits for that, and then uses its token.
      if (!isRight && !this.next && !this.again) this.connect();
    }

    connect() {
      this.again = clearTimeout(this.again);
      this.next?.close();
      if (this.source?.readyState !== EventSource.OPEN) this.drop();
      const rooms = [...this.rooms];
      const url = new URL(this.tab.url);
      for (const room of rooms) url.searchParams.append('room', room);
      // EventSource sends its last event's id itself when it reconnects, but a new one
      // can't be given an id. (Mercure uses the same name for this parameter.)
      if (this.token) url.searchParams.set('lastEventID', this.token);
      // The former source is heard until this one has taken over its seat.
      const source = new EventSource(url);
      this.next = source;
      source.addEventListener('open', () => this.opened(source, rooms));
      source.addEventListener('user count', event => this.heard(event));
      source.addEventListener('partial', event => this.doubts(event.data));
      source.addEventListener('keep-alive', event => this.beats(event));
      source.addEventListener('error', () => this.failed(source));
      // Don't press a server that hangs. But the wait grows slowly, because after losing
      // a network browsers need some tries to use up their dead connections.
      this.expect(FIRST_WORD + (this.failures && this.backoff()));
    }

    drop() {
      this.source?.close();
      this.source = null;
    }

    close() {
      clearTimeout(this.timer);
      this.again = clearTimeout(this.again);
      this.next?.close();
      this.drop();
    }

    opened(source, rooms) {
      if (source === this.next) {
        this.drop();
        this.next = null;
        this.source = source;
      }
      this.carried = rooms;
      this.fresh = 'live';
    }

    // A stream of one room sends only the number.
    heard(event) {
      let said;
      try {
        said = JSON.parse(event.data);
      } catch {}
      const { room, count } = said?.room ? said : { room: this.carried[0], count: said };
      if (!this.carried.includes(room) || !isCount(count)) return;
      this.failures = 0;
      if (this.rooms.has(room)) this.tab.tell(room, this.fresh, count);
      this.beats(event);
      this.update();
    }

    // If the numbers are partial from the start, the server says so before the first one.
    doubts(data) {
      this.fresh = data === 'true' ? 'partial' : 'live';
      for (const room of this.rooms) {
        if (/live|partial/.test(this.tab.feed(room).state)) this.tab.tell(room, this.fresh);
      }
    }

    // A server may give another token later, with the keep-alive.
    beats(event) {
      const { tab } = this;
      if (event) this.token = event.lastEventId;
      if (event?.type === 'keep-alive' && event.data > 0) tab.keepAlive = Math.max(event.data, SECOND);
      if (!this.next) this.expectBeat(tab.keepAlive);
    }

    silent() {
      // Perhaps the browser has no free connection to the host for both.
      if (this.next && this.source) this.drop();
      else this.waits();
      this.failures += 1;
      this.connect();
    }

    waits() {
      for (const room of this.rooms) this.tab.tell(room);
    }

    failed(source) {
      if (source === this.source && this.next) return this.drop(); // Its seat was taken over.
      if (source.readyState === EventSource.CLOSED) return this.refused(source);
      // The browser comes back by itself after the server's `retry:`, 2 to 5 s.
      if (source === this.source || !this.source) this.waits();
      this.expect(2 * FIRST_WORD);
    }

    // After an answer that is not a stream, such as 503, the browser gives up for good. The
    // wait is random, so that pages don't all come back together.
    async refused(source) {
      if (source === this.next) this.next = null;
      else this.drop();
      const wait = this.backoff();
      this.failures += 1;
      this.again = setTimeout(() => {
        this.again = 0;
        this.update();
      }, wait);
      // The stream that was open before goes on; if there was none, only the next try is due.
      this.expect(wait + FIRST_WORD);
      if (this.source) this.beats();
      else this.waits();

      // Only the rooms that are missing are refused; the others go on as they were.
      const missing = [...this.rooms].filter(room => !this.source || !this.carried.includes(room));
      if (!missing.length) return;
      const url = new URL('count', this.tab.url);
      url.searchParams.set('room', missing[0]);
      let { reason } = this.tab.feed(missing[0]);
      try {
        // An EventSource can't read why it was refused.
        const answer = reason ? {} : await fetch(url);
        if (answer.status < 500) {
          const { count, error = 'this is no Headcount' } = await answer.json().catch(() => ({}));
          const what = isCount(count) ? 'one of its limits is reached' : error;
          reason = `${url.origin} refuses a stream: ${what} (${answer.status})`;
        }
      } catch {} // It is away, as it is if it says 503, and will be back.
      if (reason && this.again) for (const room of missing) this.tab.tell(room, 'refused', undefined, reason);
    }

    backoff() {
      return Math.random() * Math.min(2 ** this.failures, 30) * SECOND;
    }
  }

  /** What this tab wants of one server, and its streams. */
  class Tab extends Waiting {
    isOpen = false;
    feeds = new Map();
    streams = [];
    changes; // a timer
    keepAlive = KEEP_ALIVE;

    constructor(url) {
      super();
      this.url = url;
    }

    feed(room) {
      if (!this.feeds.has(room)) this.feeds.set(room, new Feed(room, this));
      return this.feeds.get(room);
    }

    tell(room, state, count, reason) {
      const feed = this.feed(room);
      if (state) feed.tell(state, count, reason);
      else feed.waits();
    }

    /** Notes that the wanted rooms have changed, and may change again soon. */
    change() {
      this.changes ||= setTimeout(() => this.settle(), 20);
    }

    settle() {
      this.changes = clearTimeout(this.changes);
      if (this.isOpen && !this.own.length) this.close();
      else if (this.isOpen) this.carry(new Set(this.wanted));
      // Nobody sees this page yet, and perhaps nobody ever will.
      else if (document.prerendering) addEventListener('prerenderingchange', () => this.change(), true);
      else if (this.own.length) this.open();
      this.tidy();
    }

    /** The rooms that this tab listens to. */
    get own() {
      return [...this.feeds.values()].filter(feed => feed.isWanted && isName(feed.room)).map(feed => feed.room);
    }

    get wanted() {
      return this.own;
    }

    open() {
      this.isOpen = true;
      this.settle();
    }

    close() {
      this.stop();
      this.isOpen = false;
      for (const feed of this.feeds.values()) feed.tell('closed');
    }

    stop() {
      for (const stream of this.streams) stream.close();
      this.streams = [];
    }

    /** Gives each room to a stream. A room stays with the stream that already has it. */
    carry(wanted) {
      for (const { rooms } of this.streams) {
        for (const room of rooms) if (!wanted.delete(room)) rooms.delete(room);
      }
      for (const room of wanted) {
        let stream = this.streams.find(one => one.takes(room));
        if (!stream) this.streams.push((stream = new Stream(this)));
        stream.rooms.add(room);
      }
      this.streams = this.streams.filter(stream => {
        if (stream.rooms.size) stream.update();
        else stream.close();
        return stream.rooms.size;
      });
    }

    tidy() {
      const { wanted } = this;
      for (const [room, feed] of this.feeds) {
        if (feed.isWanted) {
          if (feed.state === 'closed') feed.waits();
          if (isName(room)) continue;
          feed.tell('refused', null, `room="${room}" is not 1 to 128 bytes without control characters`);
        } else if (feed.listeners.size) feed.tell('closed');
        else if (!wanted.includes(room)) this.feeds.delete(room);
      }
    }
  }

  /**
   * The same for all tabs of a browser together. The leading tab has the streams for the
   * rooms of all tabs, and tells the others what it hears.
   *
   * The tabs talk over a channel. A tab says that it wants rooms ('want'), that it wants none
   * any more ('resign'), that it would lead ('claim', which a leader answers), or that it leads
   * ('lead'). Locks decide who leads: the tab that holds the lock 'lead', until that tab ends
   * in whatever way, or another tab steals the lock. Each tab also holds a lock of its own,
   * whose release says that the tab wants nothing more.
   */
  class Browser extends Tab {
    id = Math.random().toString(36).slice(2);
    leads = false; // whether it does,
    since; // and since when
    called; // when the tab that leads called the roll
    estate = []; // the streams of the one that leads or has led: [token, rooms]
    tabs = new Map(); // what the other tabs want, and when they said so, if this one leads
    locks = navigator.locks; // where a page is secure

    get name() {
      return `headcount ${this.url}`;
    }

    get wanted() {
      if (!this.leads) return this.own;
      const rooms = [...this.tabs.values()].flatMap(tab => tab.rooms);
      // Until the tabs have said what they want, they want what they wanted before.
      const before = Date.now() < this.since + SECOND ? this.estate.flatMap(([, rooms]) => rooms) : [];
      return [...this.own, ...rooms, ...before];
    }

    open() {
      this.isOpen = true;
      try {
        this.channel = new BroadcastChannel(this.name);
      } catch {
        return this.lead(); // Alone: some browsers keep an embedded page from all that is shared.
      }
      this.channel.onmessage = event => this.hears(event.data);
      this.follow();
    }

    close() {
      this.post('resign', { heir: this.leads && [...this.tabs.keys()][0] });
      this.channel?.close();
      this.channel = null;
      super.close();
    }

    stop() {
      clearTimeout(this.timer);
      this.term?.abort();
      this.leads = false;
      super.stop();
    }

    carry(wanted) {
      if (this.leads) super.carry(wanted);
      else this.post('want', { rooms: this.own });
    }

    follow() {
      this.stop();
      this.term = new AbortController();
      if (!this.locks) return this.claim(SECOND / 4);
      this.hold(this.id, () => {
        this.hold('lead', () => this.lead());
        this.claim();
      });
    }

    /** Holds a lock until the end of the term. Waits until it is free, or steals it. */
    hold(name, then, steal) {
      const { signal } = this.term;
      const has = () =>
        new Promise(done => {
          signal.addEventListener('abort', done);
          if (signal.aborted) done();
          else then();
        });
      this.locks.request(`${this.name} ${name}`, steal ? { steal } : { signal }, has).catch(error => {
        if (signal.aborted) return;
        // Another tab has stolen the lock; or locks are forbidden, and the channel must do.
        if (error.name !== 'AbortError') this.locks = null;
        this.follow();
      });
    }

    /** Leads if no other tab does. A leader that doesn't answer loses its place. */
    claim(patience = 2 * SECOND) {
      const lead = () => this.lead();
      this.post('claim');
      this.expect(patience, () => (this.locks ? this.hold('lead', lead, true) : lead()));
    }

    lead() {
      clearTimeout(this.timer);
      this.leads = true;
      this.since = this.called = Date.now();
      this.tabs.clear();
      this.streams = this.estate.map(([token, rooms]) => new Stream(this, token, rooms));
      this.settle();
      this.say();
      setTimeout(() => this.change(), SECOND);
    }

    tell(room, state, count, reason) {
      super.tell(room, state, count, reason);
      this.say([this.feed(room)]);
    }

    say(feeds = [...this.feeds.values()]) {
      const now = Date.now();
      if (now > this.called + this.keepAlive) {
        // A frozen tab keeps its lock, but it doesn't answer the roll call.
        for (const [id, { at }] of this.tabs) if (at < now - 3 * this.keepAlive) this.tabs.delete(id);
        this.called = now;
        this.change();
      }
      const { since, called, keepAlive } = this;
      const streams = this.streams.map(({ token, rooms }) => [token, [...rooms]]);
      const numbers = feeds.map(({ room, state, count, reason }) => [room, state, count, reason]);
      this.post('lead', { since, called, keepAlive, streams, numbers });
    }

    post(kind, more) {
      this.channel?.postMessage({ kind, from: this.id, ...more });
    }

    // Any page of this origin may say anything here. Unreadable messages are ignored.
    hears(message) {
      try {
        const { kind, from, rooms, heir } = message;
        if (kind === 'lead') this.heed(message);
        else if (this.leads) this.grant(kind, from, kind === 'want' ? roomsOf(rooms) : []);
        // If there are locks, they decide who leads. Otherwise the tab with the least id leads,
        // or the heir that a leader names: timers of hidden tabs are too slow to keep its seat.
        else if (this.locks || kind === 'want' || heir === false) return;
        else if (heir === this.id) this.lead();
        else if (kind === 'claim' && from > this.id) this.claim();
        else this.expect(2 * SECOND);
      } catch {}
    }

    grant(kind, from, rooms) {
      const gone = () => {
        this.tabs.delete(from);
        this.change();
      };
      if (kind === 'claim') {
        // A frozen tab still gets messages, but nothing from the network, and its timers
        // stand still: it must not answer then. (In a hidden tab timers may be late by a
        // second.)
        if (this.streams.every(stream => Date.now() < stream.due + 1.5 * SECOND)) this.say();
      } else if (rooms.length) {
        if (this.locks && !this.tabs.has(from)) {
          const { signal } = this.term;
          this.locks.request(`${this.name} ${from}`, { signal }, gone).catch(() => {});
        }
        this.tabs.set(from, { rooms, at: Date.now() });
        this.change();
      } else gone();
    }

    /** Takes over what the leading tab says. */
    heed({ since, called, keepAlive, streams, numbers }) {
      if (this.leads) {
        // Two tabs lead. Locks soon end that; without locks the first one stays.
        if (this.locks) return;
        if (since <= this.since) this.follow();
        else this.say();
        return;
      }
      this.estate = streams.map(([token, rooms]) => [token, roomsOf(rooms)]);
      this.keepAlive = Math.max(keepAlive, SECOND) || KEEP_ALIVE;
      // Without locks, which show that a leader crashed, it is asked more often.
      this.expectBeat(this.locks ? this.keepAlive : Math.min(this.keepAlive, 4 * SECOND));
      if (called !== this.called) this.carry();
      this.called = called;
      for (const [room, state, count, reason] of numbers) {
        const feed = this.feeds.get(room);
        if (!feed?.isWanted || !/^[a-z]+$/.test(state) || !(count === null || isCount(count))) continue;
        feed.tell(state, count ?? feed.count, reason && String(reason));
      }
    }

    silent() {
      this.claim();
    }
  }

  /** Each Tab or Browser, by the address of its streams. */
  const tabs = new Map();
  const each = action => () => tabs.forEach(action);
  // The network is back, and connections from before can't be trusted.
  addEventListener('online', each(tab => tab.streams.forEach(stream => stream.connect())));
  // Chromium keeps a page that the visitor may come back to, together with its streams, so
  // they would still be counted. The same goes for a tab that it freezes.
  addEventListener('pagehide', each(tab => tab.close()));
  addEventListener('pageshow', each(tab => tab.settle()));
  document.addEventListener('freeze', each(tab => tab.close()));
  document.addEventListener('resume', each(tab => tab.settle()));

  // For when="visible". A visitor who looks at another tab may be back at once.
  let isAway = document.hidden;
  let leaves;
  document.addEventListener('visibilitychange', () => {
    const look = () => {
      isAway = document.hidden;
      tabs.forEach(tab => tab.settle());
    };
    clearTimeout(leaves);
    if (document.hidden) leaves = setTimeout(look, 2 * SECOND);
    else look();
  });

  /** The feed of a room; all who ask for the same room share it. */
  function feedOf(options) {
    const { room, src: server, per, observe } = options;
    for (const [name, values] of Object.entries(KNOWN)) {
      const value = options[name];
      if (value && !values.includes(value)) warn(`${name}="${value}" is none of: ${values}`);
    }
    const name = nameOf(room);
    // When the leading tab is closed, another one soon comes to take over its seat.
    const [kind, hold] = per === 'tab' ? [Tab, ''] : [Browser, '&hold=1'];
    const query = `events?tell=keep-alive,partial${hold}${observe ? '&observe=1' : ''}`;
    let url;
    try {
      // Without `src`, the server is where the script is, so that any prefix is right.
      const base = server && new URL(`${server.replace(/\/+$/, '')}/`, document.baseURI);
      url = new URL(query, base || directory(headcount.src ?? location.origin)).href;
    } catch {}
    if (!/^http/.test(url)) {
      const feed = new Feed(name);
      feed.tell('refused', null, `src="${server}" is no address`);
      return feed;
    }
    if (!tabs.has(url)) tabs.set(url, new kind(url));
    return tabs.get(url).feed(name);
  }

  /** `page` is the page's host and path, as people read them; `site` is its host. */
  function nameOf(room) {
    const { host, pathname } = location;
    if (room === 'site') return host;
    if (room !== 'page') return room || 'lobby';
    const decoded = pathname.replace(/(%[\da-f]{2})+/gi, text => {
      try {
        return decodeURIComponent(text).replace(/\p{Cc}/gu, encodeURIComponent);
      } catch {
        return text;
      }
    });
    const name = (host + decoded.replace(/\/index\.html$/, '/')).normalize('NFC');
    // A name that is too long: as much of it as fits, `~`, and its 64-bit FNV-1a hash.
    const bytes = bytesOf(name);
    if (bytes.length <= 128) return name;
    let hash = 0xcbf29ce484222325n;
    for (const byte of bytes) hash = BigInt.asUintN(64, (hash ^ BigInt(byte)) * 0x100000001b3n);
    // The last character may be cut in half.
    const start = new TextDecoder().decode(bytes.slice(0, 128 - 17)).replace(/\ufffd$/, '');
    return `${start}~${hash.toString(16).padStart(16, '0')}`;
  }

  /**
   * Calls `listener(count, state, reason)` with the first number of a room, and whenever its
   * number or state changes. Returns a function that stops this.
   */
  function watch(options, listener) {
    const feed = feedOf(options);
    const hear = (count, state, reason) => {
      if (count !== null || reason) listener(count, state, reason);
    };
    let stopped = false;
    feed.add(hear, options.when);
    // Not before the caller has the function that stops it.
    queueMicrotask(() => stopped || hear(feed.count, feed.state, feed.reason));
    return () => {
      stopped = true;
      feed.remove(hear);
    };
  }

  const TEXTS = 'room src per show format when zero one two few many other'.split(' ');

  const nobody = new Feed();

  /** <user-count room src per observe show format when zero one two few many other> */
  class UserCount extends HTMLElement {
    static observedAttributes = [...TEXTS, 'observe', 'lang'];

    #feed = nobody;
    #fallback = null;
    #seen = {};
    #listener = () => this.#render();

    /** How many people are in the room, including this visitor; null until that is known. */
    get count() {
      return this.#feed.count;
    }

    /** `connecting`, `live`, `partial`, `stale`, `refused` or `closed`. */
    get state() {
      return this.#feed.state;
    }

    /** Why the element is refused, if it is. */
    get reason() {
      return this.#feed.reason;
    }

    get observe() {
      return this.hasAttribute('observe');
    }

    set observe(observes) {
      this.toggleAttribute('observe', observes);
    }

    connectedCallback() {
      // `room="page"` follows when a page changes its own address.
      globalThis.navigation?.addEventListener('currententrychange', this);
      this.handleEvent();
    }

    disconnectedCallback() {
      globalThis.navigation?.removeEventListener('currententrychange', this);
      this.handleEvent();
    }

    attributeChangedCallback() {
      this.handleEvent();
    }

    // Not at once, so that several changes become one, and an element that is only moved
    // doesn't leave its room.
    handleEvent() {
      queueMicrotask(() => {
        const last = this.#feed;
        const feed = this.isConnected ? feedOf(this) : nobody;
        this.#feed = feed;
        if (feed !== last) {
          // Don't show another room's number.
          this.#fallback ??= this.textContent;
          if (feed.room && feed.count === null) this.#write(this.#fallback);
          last.remove(this.#listener);
        }
        if (feed.room) feed.add(this.#listener, this.when);
        this.#render();
      });
    }

    #render() {
      const { count, state, reason } = this;
      const room = this.#feed.room ?? this.#seen.room;
      const others = this.show === 'others';
      if (count !== null) {
        const number = count - (others && !this.observe ? 1 : 0);
        this.#write(this.#words(number));
        if (others || this.#seen.others) this.hidden = others && number < 1;
      }
      this.dataset.state = state;
      const detail = { room, count, state, reason };
      const said = JSON.stringify(detail);
      const isNew = room !== undefined && said !== this.#seen.said;
      this.#seen = { room, others, said };
      if (isNew) this.dispatchEvent(new CustomEvent('user-count', { bubbles: true, composed: true, detail }));
    }

    // Writes only what differs, because screen readers read out what is written.
    #write(text) {
      if (this.textContent !== text) this.textContent = text;
    }

    #words(number) {
      const compact = { notation: 'compact', maximumFractionDigits: 1 };
      const options = this.format === 'compact' ? compact : {};
      // The language of the page around the element, or else the browser's.
      let around = this;
      while (around && !around.closest('[lang]')) around = around.getRootNode().host;
      let format;
      try {
        format = new Intl.NumberFormat(around?.closest('[lang]').lang || navigator.languages, options);
      } catch {
        format = new Intl.NumberFormat([], options); // That is no language.
      }
      const form = new Intl.PluralRules(format.resolvedOptions().locale).select(number);
      const words = (number === 0 && this.zero) || this[form] || this.other || '{}';
      return words.replaceAll('{}', () => format.format(number));
    }
  }

  for (const name of TEXTS) {
    Object.defineProperty(UserCount.prototype, name, {
      get() {
        return this.getAttribute(name) ?? '';
      },
      set(value) {
        if (value == null) this.removeAttribute(name);
        else this.setAttribute(name, value);
      },
    });
  }

  const headcount = { src, watch, UserCount };
  globalThis.headcount = headcount;
  if (!customElements.get('user-count')) customElements.define('user-count', UserCount);
})();
