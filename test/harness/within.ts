import { setTimeout as sleep } from 'node:timers/promises';

/** What the promise gives, or an error that says what did not happen in time. */
export async function within<Value>(
  promise: Promise<Value>,
  timeoutMs: number,
  what: () => string,
): Promise<Value> {
  const controller = new AbortController();
  try {
    return await Promise.race([
      promise,
      sleep(timeoutMs, undefined, controller).then(() => {
        throw new Error(`${what()} within ${timeoutMs} ms`);
      }),
    ]);
  } finally {
    controller.abort();
  }
}

/** Asks until the answer is the one, or the time is up; answers the last answer, for the test to judge. */
export async function eventually<Value>(
  ask: () => Promise<Value> | Value,
  isRight: (value: Value) => boolean,
  timeoutMs = 15_000,
  everyMs = 250,
): Promise<Value> {
  const until = performance.now() + timeoutMs;
  for (;;) {
    const value = await ask();
    if (isRight(value) || performance.now() > until) return value;
    await sleep(everyMs);
  }
}
