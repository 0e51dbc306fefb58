// The element for those who build pages with tools: the npm package, its types, and pages
// of React and Vue.

import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { mkdir, mkdtemp, readFile, rm, symlink, writeFile } from 'node:fs/promises';
import { createRequire } from 'node:module';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { before, after, describe, test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { startServer } from '../support/server.mjs';
import { PAGE, startSite } from '../support/site.mjs';
import { visit } from '../support/visitor.mjs';
import { eventually } from '../support/wait.mjs';
import { BROWSERS, elementShows, useBrowser } from './browsers.mjs';

const run = promisify(execFile);
const require = createRequire(import.meta.url);
const PUBLIC = fileURLToPath(new URL('../../public/', import.meta.url));
const MODULES = fileURLToPath(new URL('../node_modules/', import.meta.url));
const SILENT = { args: ['--keep-alive', '1h'] };

describe('the npm package', { timeout: 120_000 }, () => {
  let project;
  before(async () => {
    project = await mkdtemp(join(tmpdir(), 'headcount-element-'));
    const modules = join(project, 'node_modules');
    await mkdir(join(modules, 'headcount-element'), { recursive: true });
    const { stdout } = await run('npm', ['pack', '--silent', '--pack-destination', project], { cwd: PUBLIC });
    const packed = join(project, stdout.trim());
    await run('tar', ['-xzf', packed, '--strip-components=1', '-C', join(modules, 'headcount-element')]);
    for (const name of ['@types', 'csstype', 'preact', 'react']) {
      await symlink(join(MODULES, name), join(modules, name));
    }
    await writeFile(join(project, 'package.json'), '{"type":"module"}');
  });
  after(() => rm(project, { recursive: true, force: true }));

  test('it holds the files that the server has, and no others', async () => {
    const { stdout } = await run('npm', ['pack', '--dry-run', '--json'], { cwd: PUBLIC });
    const [{ files, version }] = Object.values(JSON.parse(stdout));
    const names = files.map(({ path }) => path).sort();
    const types = ['client.d.ts', 'preact.d.ts', 'react.d.ts'];
    assert.deepEqual(names, ['README.md', 'client.js', 'client.mjs', ...types, 'package.json'].sort());
    for (const name of names) {
      const there = await readFile(join(project, 'node_modules/headcount-element', name), 'utf8');
      assert.equal(there, await readFile(join(PUBLIC, name), 'utf8'), name);
    }
    const cargo = await readFile(join(PUBLIC, '../Cargo.toml'), 'utf8');
    assert.equal(version, /^version = "(.*)"$/m.exec(cargo)[1]);
  });

  test('where there is no window it can be imported, and does nothing', async () => {
    const code = `
      import { watch, UserCount } from 'headcount-element';
      const stop = watch({ src: 'https://count.example.org', room: 'x' }, () => { throw 1 });
      console.log(typeof stop(), typeof UserCount, typeof globalThis.headcount);`;
    await writeFile(join(project, 'server.js'), code);
    const { stdout } = await run(process.execPath, ['server.js'], { cwd: project });
    assert.equal(stdout, 'undefined function undefined\n');
  });

  const USE = (library) => `
    import { watch, type State, type UserCount } from 'headcount-element';
    import type {} from 'headcount-element/${library}';

    document.addEventListener('user-count', event => {
      const { room, count, state, reason } = event.detail;
      const said: [string, number | null, State, string | undefined] = [room, count, state, reason];
      console.log(said);
    });
    window.addEventListener('user-count', ({ detail }) => detail.state satisfies State);
    // @ts-expect-error: the number may not be known yet.
    document.addEventListener('user-count', ({ detail }) => detail.count.toFixed());

    const element = document.createElement('user-count');
    element.room = 'a';
    element.per = 'tab';
    element.observe = true;
    const text: string = element.room;
    // @ts-expect-error: there is no such mode.
    element.per = 'brower';
    // @ts-expect-error: it is the server's to say.
    element.count = 7;
    const first: UserCount | null = document.querySelector('user-count');

    const stop: () => void = watch({ room: 'page', when: 'visible' }, (count, state, reason) => {
      console.log(count?.toFixed(), state.length, reason?.length, text, first);
    });
    stop();
    // @ts-expect-error: there is no such option.
    watch({ rooms: 'page' }, () => {});

    export const one = <user-count src="https://count.example.org" room="page" per="browser" observe
      one="{} reader" other="{} readers" class${library === 'react' ? 'Name' : ''}="number"
      onuser-count={event => console.log(event.detail.count)}>–</user-count>;
    // @ts-expect-error: there is no such mode.
    export const wrong = <user-count per="brower" />;
    // @ts-expect-error: there is no such attribute.
    export const worse = <user-count rooms="page" />;
  `;
  for (const library of ['react', 'preact']) {
    test(`its types hold in a strict TSX file of ${library}`, async () => {
      await writeFile(join(project, `${library}.tsx`), USE(library));
      const options = ['--strict', '--noEmit', '--target', 'es2022', '--module', 'nodenext', '--types', ''];
      const jsx = ['--jsx', 'react-jsx', '--jsxImportSource', library];
      const tsc = join(MODULES, '.bin/tsc');
      const { stdout } = await run(tsc, [...options, ...jsx, `${library}.tsx`], { cwd: project }).catch(
        (error) => error,
      );
      assert.equal(stdout, '');
    });
  }
});

/** React's own files, which are CommonJS, as one script that leaves `React` and `ReactDOM`. */
async function reactScript() {
  const files = {
    react: 'react/cjs/react.development.js',
    'react-dom': 'react-dom/cjs/react-dom.development.js',
    'react-dom/client': 'react-dom/cjs/react-dom-client.development.js',
    scheduler: 'scheduler/cjs/scheduler.development.js',
  };
  const modules = await Promise.all(
    Object.entries(files).map(async ([name, path]) => {
      const code = await readFile(join(MODULES, path), 'utf8');
      return `${JSON.stringify(name)}: (module, exports, require) => {${code}}`;
    }),
  );
  return `(() => {
    globalThis.process = { env: { NODE_ENV: 'development' } };
    const modules = {${modules.join(',\n')}};
    const loaded = {};
    const require = name => {
      if (!loaded[name]) modules[name](loaded[name] = { exports: {} }, loaded[name].exports, require);
      return loaded[name].exports;
    };
    globalThis.React = require('react');
    globalThis.ReactDOM = require('react-dom/client');
  })();`;
}

for (const browser of BROWSERS) {
  describe(`the element among tools, in ${browser.name}`, { concurrency: 3, timeout: 120_000 }, () => {
    const newContext = useBrowser(browser);

    async function opened(t, server, pages) {
      const site = await startSite(t, server, pages, (request, response) => {
        const path = { '/vue.js': 'vue/dist/vue.esm-browser.js' }[request.url];
        if (!path) return false;
        response.setHeader('content-type', 'text/javascript');
        readFile(join(MODULES, path)).then((file) => response.end(file));
        return true;
      });
      const page = await (await newContext(t)).newPage();
      const wrong = [];
      page.on('pageerror', (error) => wrong.push(error.message));
      page.on('console', (message) => {
        if (/^(error|warn)/.test(message.type())) wrong.push(message.text());
      });
      await page.goto(site.url);
      return { page, site, wrong };
    }

    test('React hydrates late, finds no mismatch, and leaves the number alone', async (t) => {
      const server = await startServer(t, SILENT);
      const React = require('react');
      const { renderToString } = require('react-dom/server');
      // The same function makes the page here and there.
      const App = `({ room, others }) => {
        const [heard, hear] = React.useState('');
        return React.createElement('p', null,
          React.createElement('user-count', {
            room, one: '{} reader', other: '{} readers', observe: false,
            show: others ? 'others' : undefined, suppressHydrationWarning: true,
            'onuser-count': event => hear(event.detail.state),
          }, '–'), ' of ', room, React.createElement('i', null, heard));
      }`;
      const html = renderToString(React.createElement(new Function('React', `return ${App}`)(React), { room: 'x' }));
      assert.match(html, /<user-count room="x" one="\{\} reader" other="\{\} readers">–<\/user-count>/);
      const body = `<script>${await reactScript()}</script><main>${html}</main>`;
      const { page, wrong } = await opened(t, server, { '/': PAGE(body) });
      await elementShows(page, '1 reader');

      await page.evaluate((code) => {
        window.mismatches = [];
        window.App = new Function('React', `return ${code}`)(React);
        const onRecoverableError = (error) => window.mismatches.push(error.message);
        const node = React.createElement(window.App, { room: 'x' });
        window.root = ReactDOM.hydrateRoot(document.querySelector('main'), node, { onRecoverableError });
      }, App);
      const other = await visit(t, server, 'x');
      await elementShows(page, '2 readers');
      const render = (props) =>
        page.evaluate((given) => window.root.render(React.createElement(window.App, given)), props);
      await render({ room: 'x', others: true });
      await elementShows(page, '1 reader');
      await render({ room: 'y' });
      await elementShows(page, '1 reader');
      assert.equal((await server.count('y')).count, 1);
      // (React 19 listens to events of an element that it hydrated once it renders it anew.)
      await eventually('what React heard', () => page.$eval('i', (found) => found.textContent), 'live');
      await page.evaluate(() => window.root.unmount());
      await eventually('/count', async () => (await server.count('y')).count, 0);
      other.leave();
      assert.deepEqual(await page.evaluate(() => window.mismatches), []);
      assert.deepEqual(wrong, []);
    });

    test('Vue shows it, changes its attributes and hears its events', async (t) => {
      const server = await startServer(t, SILENT);
      const { page, wrong } = await opened(t, server, {
        '/': PAGE(`<main>
          <p><user-count :room="room" :observe="observes" other="{} here" @user-count="hear">–</user-count></p>
          <i>{{ heard }}</i></main>
          <script type="module">
            import { createApp } from '/vue.js';
            const data = () => ({ room: 'x', observes: false, heard: '' });
            const methods = { hear({ detail }) { this.heard = detail.room + ' ' + detail.count; } };
            const app = createApp({ data, methods });
            app.config.compilerOptions.isCustomElement = tag => tag === 'user-count';
            window.app = app.mount('main');
          </script>`),
      });
      await elementShows(page, '1 here');
      const other = await visit(t, server, 'y');
      await page.evaluate(() => {
        window.app.room = 'y';
      });
      await elementShows(page, '2 here');
      const heard = () => page.$eval('i', (found) => found.textContent);
      await eventually('what Vue heard', heard, 'y 2');
      await page.evaluate(() => {
        window.app.observes = true;
      });
      await elementShows(page, '1 here');
      await eventually('what the other was told', () => other.history.at(-1), 1);
      const bad = wrong.filter((text) => !/development build of Vue/.test(text));
      assert.deepEqual(bad, []);
    });

    test('properties are attributes, and events leave a shadow root and name their room', async (t) => {
      const server = await startServer(t, SILENT);
      const { page } = await opened(t, server, { '/': PAGE('<div></div>') });
      await page.evaluate(() => {
        const root = document.querySelector('div').attachShadow({ mode: 'open' });
        const one = document.createElement('user-count');
        one.room = 'x';
        one.observe = true;
        one.per = 'tab';
        root.append(one);
        window.one = one;
      });
      await eventually('the number', () => page.evaluate(() => window.one.textContent), '0');
      const seen = await page.evaluate(() => {
        const { one } = window;
        const html = one.outerHTML;
        one.room = null;
        one.observe = false;
        return { html, room: one.room, observe: one.observe, show: one.show, told: [...window.told] };
      });
      assert.equal(seen.html, '<user-count room="x" observe="" per="tab" data-state="live">0</user-count>');
      assert.deepEqual([seen.room, seen.observe, seen.show], ['', false, '']);
      assert.deepEqual(seen.told.map(({ room, state }) => `${room} ${state}`), ['x connecting', 'x live']);
      // One that was never in a document has nothing to say.
      await page.evaluate(() => {
        window.told.length = 0;
        const one = document.createElement('user-count');
        one.addEventListener('user-count', ({ detail }) => window.told.push(detail));
        one.room = 'y';
      });
      await eventually('the room', async () => (await server.count()).count, 1);
      const told = await page.evaluate(() => window.told.map(({ room }) => room));
      assert(!told.includes('y') && !told.includes(undefined), `${told}`);
    });
  });
}
