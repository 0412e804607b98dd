import type { Clock } from '@halley/service/clock';
import type { Service } from '@halley/service/lifecycle';
import type { Logger } from '@halley/service/log';

/** What a process can do about the memory that it has and does not use. */
export interface ProcessMemory {
  /** Bytes of the heap that are taken from the system and hold nothing. */
  spareBytes(): number;
  /** Collects what is garbage, a while at a time, and moves what is left together; resolves when it is done. Never rejects. */
  collect(): Promise<void>;
  /** Gives what is free back to the system. */
  giveBack(): void;
  /** The share of time, from 0 to 1, that the loop was busy since this was last asked. */
  busyShare(): number;
}

export interface MemoryTrimmerDeps {
  readonly memory: ProcessMemory;
  /** Sockets of clients that have come and gone so far, each counted both times. */
  readonly turnover: () => number;
  /** Those that are there. */
  readonly sockets: () => number;
  /** Those of them that are still logging in. */
  readonly entering: () => number;
  /** How long it must have been quiet; 0 trims never. */
  readonly quietMs: number;
  readonly clock: Clock;
  readonly onTrimmed: () => void;
  readonly log: Logger;
}

const LOOK_MS = 250;
/** What may come and go in a look, and be logging in, while it counts as quiet. */
const QUIET_TURNOVER = 12;
const BUSY_SHARE = 0.5;
/** As many must have come or gone since the last time, or this part of those there are. */
const LEAST_TURNOVER = 500;
const TURNOVER_SHARE = 1 / 8;
/** V8 moves a bounded part of the heap at a time, so that it stops for a short while only. */
const MOST_ROUNDS = 4;
const WORTH_BYTES = 4 * 1_048_576;

/**
 * Gives memory back to the system when many connections have come or gone and it is quiet again. A login leaves about as much
 * garbage behind as the connection then takes; nothing collects it while nothing is allocated, and what V8 and malloc
 * have free they keep.
 */
export class MemoryTrimmer implements Service {
  readonly name = 'memory trimmer';
  #timer: NodeJS.Timeout | undefined;
  #seen = 0;
  #trimmedAt = 0;
  #quietSinceMs = 0;
  #isTrimming = false;
  #stopped = false;

  constructor(private readonly deps: MemoryTrimmerDeps) {}

  async start(): Promise<void> {
    if (this.deps.quietMs === 0) return;
    this.#quietSinceMs = this.deps.clock.monotonicMs();
    this.#timer ??= setInterval(() => void this.look(), LOOK_MS);
    this.#timer.unref();
  }

  async stop(_deadlineMs: number): Promise<void> {
    this.#stopped = true;
    clearInterval(this.#timer);
  }

  /** Trims when it is time; resolves when that is done. */
  async look(): Promise<void> {
    const { memory, turnover, sockets, entering, clock, quietMs } = this.deps;
    const seen = turnover();
    const moved = seen - this.#seen;
    this.#seen = seen;
    const now = clock.monotonicMs();
    const isBusy = memory.busyShare() > BUSY_SHARE;
    if (isBusy || moved > QUIET_TURNOVER || entering() > QUIET_TURNOVER) {
      this.#quietSinceMs = now;
      return;
    }
    if (this.#isTrimming || now - this.#quietSinceMs < quietMs) return;
    if (seen - this.#trimmedAt < Math.max(LEAST_TURNOVER, sockets() * TURNOVER_SHARE)) return;
    this.#isTrimming = true;
    this.#trimmedAt = seen;
    await this.#trim();
    this.#isTrimming = false;
  }

  async #trim(): Promise<void> {
    const { memory, log, onTrimmed } = this.deps;
    const before = memory.spareBytes();
    for (let round = 0, spare = Number.POSITIVE_INFINITY; round < MOST_ROUNDS && !this.#stopped; round += 1) {
      await memory.collect();
      const left = memory.spareBytes();
      if (left < WORTH_BYTES || spare - left < WORTH_BYTES) break;
      spare = left;
    }
    if (this.#stopped) return;
    memory.giveBack();
    onTrimmed();
    log.debug({ spareBytes: before, leftBytes: memory.spareBytes() }, 'memory was given back to the system');
  }
}
