/* How numbers and names are written. Everything is set as text, never as markup. */

export const $ = id => document.getElementById(id);

// Writes only what differs: screen readers read out what is written.
export function say(element, text) {
  if (element.textContent !== text) element.textContent = text;
}

// Says it aloud only to whoever has asked for it: it changes all the time.
export function tell(element, text, isAnswer) {
  element.setAttribute('aria-live', isAnswer ? 'polite' : 'off');
  say(element, text);
}

const whole = new Intl.NumberFormat('en', { maximumFractionDigits: 0 });
const tenths = new Intl.NumberFormat('en', { maximumFractionDigits: 1 });

export const number = value => whole.format(value);
export const rate = value => (value === null ? '–' : tenths.format(value));
export const people = count => (count === 1 ? 'person' : 'people');
export const rooms = count => (count === 1 ? 'room' : 'rooms');

export const of = ([taken, most]) =>
  taken === null ? '–' : most === null ? number(taken) : `${number(taken)} of ${number(most)}`;

export function bytes(value) {
  if (value === null) return '–';
  const steps = ['bytes', 'kB', 'MB', 'GB', 'TB'];
  let step = 0;
  while (value >= 1000 && step < steps.length - 1) {
    value /= 1000;
    step += 1;
  }
  return `${value < 10 && step > 1 ? tenths.format(value) : whole.format(value)} ${steps[step]}`;
}

const SPACES = /[\p{Cf}\p{Zl}\p{Zp}\u00a0\u3164\u2800]/gu;

/* A room's name with invisible characters, and those that reverse the text, shown by their
   code, as in the log. */
export const legible = name =>
  name.replace(SPACES, character =>
    `<U+${character.codePointAt(0).toString(16).toUpperCase().padStart(4, '0')}>`);
