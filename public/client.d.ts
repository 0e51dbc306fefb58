/** Types of client.mjs, and of what client.js puts into `globalThis.headcount`. */

/**
 * `connecting`: there is no number yet. `live`: the number is right. `partial`: the
 * number is fresh, but some people may be missing from it. `stale`: the connection is
 * lost, and the number is the last one known. `refused`: the server does not count this
 * page. `closed`: nobody listens any more, or the page was left.
 */
export type State = 'connecting' | 'live' | 'partial' | 'stale' | 'refused' | 'closed';

export interface Options {
  /**
   * The room. `page` is the page's own room, named after its host and path, and `site` is its
   * host's. Without a name, it is `lobby`, which all who name no room share.
   */
  room?: string | null;
  /** Where the server is. By default, where the script came from. */
  src?: string | null;
  /** Whether all tabs of a browser count as one (the default), or each tab counts. */
  per?: 'browser' | 'tab' | '' | null;
  /** `visible`: a tab counts only while it can be seen. */
  when?: 'visible' | '' | null;
  /** Listens without being counted. */
  observe?: boolean;
}

/**
 * Calls `listener` with the first number, and whenever the number or the state changes. `count`
 * is null only if the state is `refused`; `reason` then says why.
 * To stop listening, call the function that this returns.
 */
export function watch(
  options: Options,
  listener: (count: number | null, state: State, reason?: string) => void,
): () => void;

/** What a `user-count` event carries as its `detail`. */
export interface UserCountDetail {
  /** The room's actual name, even if it was given as `page` or `site`. */
  room: string;
  /** How many people are in the room, the visitor included; null until that is known. */
  count: number | null;
  state: State;
  /** Why the server does not count this page, if it does not. */
  reason?: string;
}

/** A `user-count` event. */
export type UserCountEvent = CustomEvent<UserCountDetail>;

/** The attributes of `<user-count>`, in HTML and in JSX. */
export interface UserCountAttributes extends Options {
  /** `others` leaves the visitor out. */
  show?: 'others' | '' | null;
  /** `compact` writes 1.2K. */
  format?: 'compact' | '' | null;
  /** The text for each plural form of the page's language; `{}` stands for the number. */
  zero?: string | null;
  one?: string | null;
  two?: string | null;
  few?: string | null;
  many?: string | null;
  other?: string | null;
}

/** `<user-count>`. Its attributes are also properties; one that is absent is ''. */
export class UserCount extends HTMLElement {
  /** How many people are in the room, the visitor included; null until that is known. */
  readonly count: number | null;
  readonly state: State;
  /** Why the server does not count this page, if it does not. */
  readonly reason: string | undefined;

  get room(): string;
  set room(value: string | null);
  get src(): string;
  set src(value: string | null);
  get per(): string;
  set per(value: 'browser' | 'tab' | '' | null);
  get when(): string;
  set when(value: 'visible' | '' | null);
  get show(): string;
  set show(value: 'others' | '' | null);
  get format(): string;
  set format(value: 'compact' | '' | null);
  get zero(): string;
  set zero(value: string | null);
  get one(): string;
  set one(value: string | null);
  get two(): string;
  set two(value: string | null);
  get few(): string;
  set few(value: string | null);
  get many(): string;
  set many(value: string | null);
  get other(): string;
  set other(value: string | null);
  observe: boolean;
}

declare global {
  interface HTMLElementTagNameMap {
    'user-count': UserCount;
  }
  // On elements, the document and the window, because the event bubbles.
  interface GlobalEventHandlersEventMap {
    'user-count': UserCountEvent;
  }
  var headcount: {
    /** The script's own address: where the server is, unless `src` says otherwise. */
    src?: string;
    watch: typeof watch;
    UserCount: typeof UserCount;
  };
}
