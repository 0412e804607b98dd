/** Waits for a promise, but no longer than `timeMs`; undefined when the time was over first. */
export async function within<Value>(promise: Promise<Value>, timeMs: number): Promise<Value | undefined> {
  // Not by an aborted sleep: the error of an abort costs more than all the rest.
  let timer: NodeJS.Timeout | undefined;
  const over = new Promise<undefined>((resolve) => {
    timer = setTimeout(() => resolve(undefined), timeMs);
  });
  try {
    return await Promise.race([promise, over]);
  } finally {
    clearTimeout(timer);
  }
}
