/* The history of a room. */

/** The spans that can be shown, with their lengths and steps in seconds. */
export const SPANS = {
  '5m': { length: 300, step: 5, says: '5 minutes' },
  '24h': { length: 24 * 3600, step: 300, says: '24 hours' },
  '90d': { length: 90 * 24 * 3600, step: 6 * 3600, says: '90 days' },
};

/** Asks for a room's history. Throws what the server says if there is none. */
export async function past(room, { length, step }) {
  const to = Math.ceil(Date.now() / 1000);
  const query = new URLSearchParams({ room, from: to - length, to, step });
  const answer = await fetch(`api/history?${query}`);
  const said = await answer.json();
  if (!answer.ok) throw new Error(said.error);
  return said;
}
