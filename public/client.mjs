/* client.js for `import`: the same script, and its names as exports. */
import './client.js';

// Where there is no window, as on a server that renders pages, nobody is counted.
const headcount = globalThis.headcount ?? { watch: () => () => {}, UserCount: class {} };
headcount.src ??= import.meta.url;

export const { watch, UserCount } = headcount;
