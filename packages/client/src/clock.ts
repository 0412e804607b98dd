/** Time and chance, injectable so that tests decide both. */
export interface Clock {
  /** Unix time in milliseconds. */
  now(): number;
  /** At least 0 and below 1. */
  random(): number;
  /** Runs once, after so many milliseconds; what is answered takes it back. */
  after(delayMs: number, run: () => void): () => void;
}

/** Timers can't wait for longer. */
const MAX_DELAY_MS = 2 ** 31 - 1;

export const systemClock: Clock = {
  now: () => Date.now(),
  random: () => Math.random(),
  after(delayMs, run) {
    const timer = setTimeout(run, Math.min(delayMs, MAX_DELAY_MS));
    return () => clearTimeout(timer);
  },
};
