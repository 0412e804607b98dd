/** The time, injectable so that tests decide it. */
export interface Clock {
  /** Unix time in milliseconds. */
  now(): number;
  /** A monotonic time in milliseconds, for durations. */
  monotonicMs(): number;
}

export const systemClock: Clock = {
  now: () => Date.now(),
  monotonicMs: () => performance.now(),
};
