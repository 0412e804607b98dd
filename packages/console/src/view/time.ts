const CLOCK = new Intl.DateTimeFormat(undefined, { hour: 'numeric', minute: '2-digit' });
const DAY = new Intl.DateTimeFormat(undefined, { weekday: 'long', day: 'numeric', month: 'long' });
const WHOLE = new Intl.DateTimeFormat(undefined, { dateStyle: 'medium', timeStyle: 'medium' });
const DAY_MS = 86_400_000;

/** The time of day. */
export function clockText(atMs: number): string {
  return CLOCK.format(atMs);
}

/** All of it, for who looks closer. */
export function wholeText(atMs: number): string {
  return WHOLE.format(atMs);
}

/** The day of a time, the same for all times of that day. */
export function dayOf(atMs: number): string {
  return new Date(atMs).toDateString();
}

export function dayText(atMs: number, nowMs: number): string {
  if (dayOf(atMs) === dayOf(nowMs)) return 'Today';
  if (dayOf(atMs) === dayOf(nowMs - DAY_MS)) return 'Yesterday';
  return DAY.format(atMs);
}

/** `Alice`, `Alice and Bob`, `Alice, Bob and 3 others`. */
export function namesText(names: readonly string[]): string {
  const [first = '', second = '', ...others] = names;
  if (names.length <= 1) return first;
  if (others.length === 0) return `${first} and ${second}`;
  return `${first}, ${second} and ${others.length} ${others.length === 1 ? 'other' : 'others'}`;
}
