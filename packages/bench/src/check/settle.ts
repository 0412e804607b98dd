import { setTimeout as sleep } from 'node:timers/promises';

import type { Device } from '../device/device.js';
import type { CheckedStream, NumberedPush } from './log.js';
import { fromMs, owedIn } from './terms.js';

export interface SettleOptions {
  /** Everything must have been quiet for so long, so that what comes twice or late is seen. */
  readonly quietMs: number;
  /** Given up when nothing has come for so long although something is missing. */
  readonly patienceMs: number;
  readonly nowMs: () => number;
  readonly signal: AbortSignal;
}

const LOOK_EVERY_MS = 200;

/** Waits until the last push is due, and every device is connected and has what it is owed, and nothing more comes; or until nothing helps. */
export async function settle(
  devices: readonly Device[],
  streams: readonly CheckedStream[],
  pushes: readonly NumberedPush[],
  options: SettleOptions,
): Promise<void> {
  const owed = new Map(
    streams
      .filter(({ kind }) => kind === 'user')
      .map(({ name }) => [name, owedIn(pushes.filter(({ stream }) => stream === name))]),
  );
  const lastMs = pushes.reduce((last, push) => Math.max(last, fromMs(push)), 0);
  await sleep(Math.max(0, lastMs - options.nowMs()), undefined, { signal: options.signal }).catch(
    () => undefined,
  );
  let shown = -1;
  let since = performance.now();
  while (!options.signal.aborted) {
    const now = devices.reduce((total, { log }) => total + log.shown.length, 0);
    if (now !== shown) [shown, since] = [now, performance.now()];
    const quietMs = performance.now() - since;
    if (quietMs > options.patienceMs) return;
    if (quietMs > options.quietMs && devices.every((device) => hasAll(device, owed))) return;
    await sleep(LOOK_EVERY_MS);
  }
}

function hasAll({ log, isConnected }: Device, owed: ReadonlyMap<string, ReadonlySet<number>>): boolean {
  if (!isConnected) return false;
  return log.streams.every((stream) => {
    const numbers = owed.get(stream);
    if (!numbers || numbers.size === 0) return true;
    const had = new Set(log.shown.filter((one) => one.stream === stream).map(({ number }) => number));
    for (const number of numbers) if (!had.has(number)) return false;
    return true;
  });
}
