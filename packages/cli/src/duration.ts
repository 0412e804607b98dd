import { InvalidArgumentError } from 'commander';

const UNITS = { ms: 1, s: 1_000, m: 60_000, h: 3_600_000, d: 86_400_000 } as const;

/** A duration as `90s`, `15m`, `2h`, `3d`, also `1h30m`; milliseconds, at least 1. */
export function duration(text: string): number {
  const parts = [...text.matchAll(/(\d{1,12}(?:\.\d{1,6})?)(ms|s|m|h|d)/g)];
  const ms = Math.round(
    parts.reduce((sum, [, number, unit]) => sum + Number(number) * UNITS[unit as keyof typeof UNITS], 0),
  );
  const whole = parts.map(([part]) => part).join('');
  if (whole !== text || !(ms >= 1 && ms <= Number.MAX_SAFE_INTEGER)) {
    throw new InvalidArgumentError('Must be a duration, as 90s, 15m, 2h, 3d or 1h30m.');
  }
  return ms;
}

/**
 * A point in time: ISO 8601, of this machine's time zone where it names none; a time of day, which is the next such; or Unix
 * milliseconds.
 */
export function pointInTime(text: string): number {
  if (/^\d{11,16}$/.test(text)) return Number(text);
  if (/^\d{1,2}:\d{2}(:\d{2})?$/.test(text)) return nextTimeOfDay(text, new Date());
  const isDate = /^\d{4}-\d{2}-\d{2}([T ]\d{2}:\d{2}(:\d{2}(\.\d{1,3})?)?(Z|[+-]\d{2}:?\d{2})?)?$/.test(text);
  // A date without a time would be UTC's midnight, unlike one with a time.
  const ms = isDate ? Date.parse(text.length === 10 ? `${text}T00:00` : text.replace(' ', 'T')) : Number.NaN;
  if (Number.isNaN(ms)) {
    throw new InvalidArgumentError(
      'Must be a time, as 18:00, 2030-12-31T18:00, 2030-12-31T18:00:00+01:00, or Unix milliseconds.',
    );
  }
  return ms;
}

/** The next time at which the clocks of this machine's time zone show this. */
export function nextTimeOfDay(text: string, now: Date): number {
  const [hours = 0, minutes = 0, seconds = 0] = text.split(':').map(Number);
  if (hours > 23 || minutes > 59 || seconds > 59)
    throw new InvalidArgumentError('There is no such time of day.');
  const at = new Date(now);
  at.setHours(hours, minutes, seconds, 0);
  if (at <= now) at.setDate(at.getDate() + 1);
  return at.getTime();
}

/** A duration for people: its two largest units. */
export function durationText(ms: number): string {
  if (ms < 1_000) return `${Math.max(0, Math.round(ms))}ms`;
  let left = Math.round(ms / 1_000) * 1_000;
  const parts: string[] = [];
  for (const unit of ['d', 'h', 'm', 's'] as const) {
    const count = Math.floor(left / UNITS[unit]);
    left -= count * UNITS[unit];
    if (count > 0) parts.push(`${count}${unit}`);
    if (parts.length === 2) break;
  }
  return parts.join(' ');
}

/** A time for people, in this machine's time zone: `2030-12-31 23:59:00`. */
export function timeText(ms: number): string {
  const at = new Date(ms);
  const two = (value: number): string => String(value).padStart(2, '0');
  const date = `${at.getFullYear()}-${two(at.getMonth() + 1)}-${two(at.getDate())}`;
  return `${date} ${two(at.getHours())}:${two(at.getMinutes())}:${two(at.getSeconds())}`;
}

/** A time with how far it is from now: `2030-12-31 23:59:00 (in 2d 3h)`. */
export function aheadText(ms: number, nowMs: number): string {
  return ms > nowMs
    ? `${timeText(ms)} (in ${durationText(ms - nowMs)})`
    : `${timeText(ms)} (${durationText(nowMs - ms)} ago)`;
}
