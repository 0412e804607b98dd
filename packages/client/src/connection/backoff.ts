/** How long to wait between attempts. */
export interface Backoff {
  /** In milliseconds. Default 1,000; sane 100 to 10,000. */
  readonly baseMs: number;
  /** In milliseconds. Default 60,000; sane 5,000 to 300,000. */
  readonly maxMs: number;
  /** Default 1.8; sane 1.2 to 3. */
  readonly factor: number;
}

/** Full jitter: a random time between 0 and min(max, base × factor^attempt), in milliseconds. `attempt` counts from 0. */
export function fullJitterMs({ baseMs, maxMs, factor }: Backoff, attempt: number, random: number): number {
  return Math.floor(random * Math.min(maxMs, baseMs * factor ** attempt));
}
