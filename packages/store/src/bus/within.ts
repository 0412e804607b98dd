import { setTimeout as sleep } from 'node:timers/promises';

/** Waits for a promise, but no longer than `timeMs`; undefined when the time was over first. */
export async function within<Value>(promise: Promise<Value>, timeMs: number): Promise<Value | undefined> {
  const settled = new AbortController();
  const over = sleep(timeMs, undefined, { signal: settled.signal }).catch(() => undefined);
  try {
    return await Promise.race([promise, over]);
  } finally {
    settled.abort();
  }
}
