// Numbers and times in a reader's words. No DOM here.

const whole = new Intl.NumberFormat('en-US');
const value = new Intl.NumberFormat('en-US', { maximumFractionDigits: 4, maximumSignificantDigits: 8 });

/** 1234567 as 1,234,567. */
export const grouped = number => whole.format(number);

/** A value under the pointer. */
export const measured = number => value.format(number);

/** One thing, two things. */
export const counted = (number, thing) => `${grouped(number)} ${thing}${number === 1 ? '' : 's'}`;

/** A moment on the clock its milliseconds are in; times of the stream are shown as they are, never shifted. */
export function moment(ms, span) {
  const date = new Date(ms);
  if (Number.isNaN(date.getTime())) {
    return '';
  }
  const iso = date.toISOString();
  const day = iso.slice(0, 10);
  const time = iso.slice(11, ms % 1000 === 0 ? 19 : 23);
  return span !== undefined && span < 86_400_000 ? time : `${day} ${time}`;
}

/** A lag: 38 ms, 1.4 s, 12 min. */
export function lag(ms) {
  if (ms < 1000) {
    return `${Math.round(ms)} ms`;
  }
  if (ms < 60_000) {
    return `${(ms / 1000).toFixed(1)} s`;
  }
  if (ms < 3_600_000) {
    return `${Math.round(ms / 60_000)} min`;
  }
  return `${(ms / 3_600_000).toFixed(1)} h`;
}
