/** `<user-count>` in the JSX of React 19. */
import type { DetailedHTMLProps, HTMLAttributes } from 'react';
import type { UserCount, UserCountAttributes, UserCountEvent } from './client.js';

declare module 'react' {
  namespace JSX {
    interface IntrinsicElements {
      'user-count': DetailedHTMLProps<HTMLAttributes<UserCount>, UserCount> &
        UserCountAttributes & { 'onuser-count'?: (event: UserCountEvent) => void };
    }
  }
}
