/** Types of client.mjs, and of what client.js leaves in `globalThis.headcount`. */

/**
 * `connecting`: there is no number yet. `live`: the number is right. `partial`: the
 * number is fresh, but some people may be missing from it. `stale`: the connection is
 * lost, and the number is the last one known. `refused`: the server does not count this
 * page. `closed`: nobody listens, or the page was left.
 */
export type State = 'connecting' | 'live' | 'partial' | 'stale' | 'refused' | 'closed';

export interface Options {
  /**
   * The room. `page` is the page's own, named by its host and path, and `site` its host's.
   * None: the one of everyone who names none, `lobby`.
   */
  room?: string | null;
  /** Where the server is. None: where the script came from. */
  src?: string | null;
  /** Whether all tabs of a browser are counted as one (the default), or each. */
  per?: 'browser' | 'tab' | '' | null;
  /** `visible`: a tab is counted only while it can be seen. */
  when?: 'visible' | '' | null;
  /** Listens without being counted. */
  observe?: boolean;
}

/**
 * Calls `listener` with the first number, and whenever number or state change. `count` is
 * null only if the state is `refused`, for which there is a `reason`.
 * The function that it returns ends this.
 */
export function watch(
  options: Options,
  listener: (count: number | null, state: State, reason?: string) => void,
): () => void;

/** What a `user-count` event carries as its `detail`. */
export interface UserCountDetail {
  /** The room's name, whatever it was called (`page`, `site`). */
  room: string;
  /** How many are in the room, oneself included; null until that is known. */
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
  /** What to say for each plural form of the page's language; `{}` is the number. */
  zero?: string | null;
  one?: string | null;
  two?: string | null;
  few?: string | null;
  many?: string | null;
  other?: string | null;
}

/** `<user-count>`. Its attributes are properties, too; one that is not there is ''. */
export class UserCount extends HTMLElement {
  /** How many are in the room, oneself included; null until that is known. */
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
  // Those of elements, of the document and of the window: the event bubbles.
  interface GlobalEventHandlersEventMap {
    'user-count': UserCountEvent;
  }
  var headcount: {
    /** The script's own address: where the server is, for all who don't say `src`. */
    src?: string;
    watch: typeof watch;
    UserCount: typeof UserCount;
  };
}
