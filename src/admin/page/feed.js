/* The feed: an EventSource that always reconnects by itself. */

const SILENCE = 25000; // ms; the server sends a frame at least every 10 s
const AGAIN = 2000; // ms until another try

/**
 * Listens to `api/feed` with these parameters. Calls `told` with each frame, and `state` with
 * `live` or `stale`. Returns a function that ends it.
 */
export function listen(parameters, { told, state }) {
  let source;
  let silence;
  let retry;
  let ended = false;

  function heard(event) {
    clearTimeout(silence);
    silence = setTimeout(again, SILENCE);
    state('live');
    told(JSON.parse(event.data), event.type === 'snapshot');
  }

  function open() {
    source = new EventSource(`api/feed?${new URLSearchParams(parameters)}`);
    silence = setTimeout(again, SILENCE);
    source.addEventListener('snapshot', heard);
    source.addEventListener('change', heard);
    source.addEventListener('error', () => {
      state('stale');
      // After an answer that is not a stream, the browser gives up for good.
      if (source.readyState === EventSource.CLOSED) again();
    });
  }

  function again() {
    close();
    state('stale');
    retry = setTimeout(async () => {
      const status = await fetch('api/rooms?limit=1').then(answer => answer.status, () => 0);
      if (ended) return;
      // The session has ended: the server answers with the form.
      if (status === 401) location.reload();
      else open();
    }, AGAIN);
  }

  function close() {
    clearTimeout(silence);
    clearTimeout(retry);
    source?.close();
  }

  open();
  return () => {
    ended = true;
    close();
  };
}
