/* client.js for `import`: the same script, and its names as exports. */
import './client.js';

const { headcount } = globalThis;
headcount.src ??= import.meta.url;

export const { watch, UserCount } = headcount;
