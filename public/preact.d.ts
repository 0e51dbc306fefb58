/** `<user-count>` in the JSX of Preact. */
import type { HTMLAttributes } from 'preact';
import type { UserCount, UserCountAttributes, UserCountEvent } from './client.js';

declare module 'preact' {
  namespace JSX {
    interface IntrinsicElements {
      'user-count': HTMLAttributes<UserCount> &
        UserCountAttributes & { 'onuser-count'?: (event: UserCountEvent) => void };
    }
  }
}
