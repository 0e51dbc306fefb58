/* The feed: an EventSource that comes back by itself, whatever happened to it. */

const SILENCE = 25000; // ms; the server reads its rooms every 10 s at the least
const AGAIN = 2000; // ms until another try

/**
 * Listens to `api/feed` with these parameters. `told` hears each frame, `state` what the
 * connection is: `live`, or `stale`. Answers with a function that ends it.
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
      // A browser gives up for good after an answer that is no stream.
      if (source.readyState === EventSource.CLOSED) again();
    });
  }

  function again() {
    close();
    state('stale');
    retry = setTimeout(async () => {
      const status = await fetch('api/rooms?limit=1').then(answer => answer.status, () => 0);
      if (ended) return;
      // The session is over: the form is where the page was.
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
