import type { Position } from '@halley/store/streams/streams';

import type { Push } from './bus.js';

/** What job tells a comet of an entry: `push` is its body, left out when it is large; without `prev` it names the newest. */
export interface Hint {
  readonly stream: number;
  readonly position: Position;
  readonly prev: Position | undefined;
  readonly push: Push | undefined;
}

const MAX_QUEUED = 5;

/** Hints from one job to one comet. The bound is small here, so that schedules run into it. */
export class HintQueue {
  readonly hints: Hint[] = [];

  /** Appends; over the bound, all that waits collapses into the newest position of each stream. */
  add(hint: Hint): void {
    this.hints.push(hint);
    if (this.hints.length <= MAX_QUEUED) return;
    const newest = new Map<number, Hint>();
    for (const { stream, position } of this.hints) {
      if (position > (newest.get(stream)?.position ?? -1)) {
        newest.set(stream, { stream, position, prev: undefined, push: undefined });
      }
    }
    this.clear();
    this.hints.push(...newest.values());
  }

  clear(): void {
    this.hints.length = 0;
  }
}
