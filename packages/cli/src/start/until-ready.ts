import { setTimeout as sleep } from 'node:timers/promises';

import { HalleyError } from '@halley/protocol/error';

/** Something that says what it still waits for. */
export interface Readiness {
  ready(): readonly string[];
}

/** Waits until nothing is missing; throws, naming what is, after the timeout. */
export async function untilReady(apps: readonly Readiness[], timeoutMs: number): Promise<void> {
  const until = performance.now() + timeoutMs;
  for (;;) {
    const missing = apps.flatMap((app) => app.ready());
    if (missing.length === 0) return;
    if (performance.now() >= until) {
      throw new HalleyError('internal', `not ready within ${timeoutMs / 1_000} s: ${missing.join('; ')}`);
    }
    await sleep(20);
  }
}
