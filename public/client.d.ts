/** Types of client.mjs, and of what client.js leaves in `globalThis.headcount`. */

/**
 * `connecting`: there is no number yet. `live`: the number is right. `partial`: the
 * number is fresh, but some people may be missing from it. `stale`: the connection was
 * lost, and the number is the last one known. `closed`: nobody listens, or the page was
 * left.
 */
export type State = 'connecting' | 'live' | 'partial' | 'stale' | 'closed';

export interface Options {
  /** The room; `page` stands for the page's own path. None: the whole site's, `lobby`. */
  room?: string | null;
  /** Where the server is. None: where the script came from. */
  src?: string | null;
  /** Whether each tab is counted (`tab`), or all tabs of a browser as one. */
  per?: 'tab' | 'browser' | null;
  /** Listens without being counted. */
  observe?: boolean;
}

/**
 * Calls `listener` with the first number, and whenever number or state change.
 * The function that it returns ends this.
 */
export function watch(
  options: Options,
  listener: (count: number, state: State) => void,
): () => void;

/** What a `user-count` event carries as its `detail`. */
export interface UserCountDetail {
  room: string;
  /** How many are in the room, oneself included; null until that is known. */
  count: number | null;
  state: State;
}

/** `<user-count room src per observe show format>` */
export class UserCount extends HTMLElement {
  /** How many are in the room, oneself included; null until that is known. */
  readonly count: number | null;
  readonly state: State;
}

declare global {
  interface HTMLElementTagNameMap {
    'user-count': UserCount;
  }
  interface HTMLElementEventMap {
    'user-count': CustomEvent<UserCountDetail>;
  }
  var headcount: {
    /** The script's own address: where the server is, for all who don't say `src`. */
    src?: string;
    watch: typeof watch;
    UserCount: typeof UserCount;
  };
}
