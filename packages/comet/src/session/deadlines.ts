import type { Clock } from '@halley/service/clock';
import type { Service } from '@halley/service/lifecycle';
import type { Logger } from '@halley/service/log';

/** Something with a deadline. Its fields belong to the wheel while it is in it. */
export interface Expiring {
  /** Monotonic milliseconds. May be moved later at any time without telling the wheel; earlier only by `set`. */
  deadlineMs: number;
  /** Slot in the wheel and neighbours there; -1 and undefined when it is in none. */
  wheelSlot: number;
  wheelNext: Expiring | undefined;
  wheelPrevious: Expiring | undefined;
  /** The deadline passed. It is out of the wheel; setting a new one is allowed. */
  onDeadline(): void;
}

export interface DeadlinesDeps {
  readonly clock: Clock;
  readonly log: Logger;
  /** How late a deadline may be noticed, in milliseconds. */
  readonly tickMs?: number;
}

const SLOTS = 1_024;

/**
 * One timer wheel for all deadlines of the node: entries hang in the slot of their deadline in a list through themselves,
 * so a connection costs no timer, no closure and no allocation, and a heartbeat only writes a number.
 */
export class Deadlines implements Service {
  readonly name = 'deadlines';
  readonly #tickMs: number;
  readonly #slots: (Expiring | undefined)[] = Array.from({ length: SLOTS }, () => undefined);
  #tick: number;
  #timer: NodeJS.Timeout | undefined;
  #size = 0;

  constructor(private readonly deps: DeadlinesDeps) {
    this.#tickMs = deps.tickMs ?? 100;
    this.#tick = this.#tickAt(deps.clock.monotonicMs());
  }

  /** Entries in the wheel. */
  get size(): number {
    return this.#size;
  }

  async start(): Promise<void> {
    this.#timer ??= setInterval(() => this.advance(), this.#tickMs);
  }

  async stop(_deadlineMs: number): Promise<void> {
    clearInterval(this.#timer);
    this.#timer = undefined;
  }

  /** Puts an entry in, or moves it. */
  set(entry: Expiring, deadlineMs: number): void {
    entry.deadlineMs = deadlineMs;
    if (entry.wheelSlot >= 0) this.#unlink(entry);
    this.#link(entry);
  }

  /** Takes an entry out; nothing happens when it is in none. */
  clear(entry: Expiring): void {
    entry.deadlineMs = Number.POSITIVE_INFINITY;
    if (entry.wheelSlot >= 0) this.#unlink(entry);
  }

  /** Calls every entry whose deadline has passed; the timer does it, and tests with a clock of their own. */
  advance(): void {
    const now = this.deps.clock.monotonicMs();
    const target = this.#tickAt(now);
    const turns = Math.min(target - this.#tick, SLOTS);
    for (let i = 0; i < turns; i += 1) this.#expire((target - turns + 1 + i) % SLOTS, now);
    if (target > this.#tick) this.#tick = target;
  }

  #expire(slot: number, now: number): void {
    let entry = this.#slots[slot];
    this.#slots[slot] = undefined;
    const due: Expiring[] = [];
    while (entry) {
      const next: Expiring | undefined = entry.wheelNext;
      entry.wheelNext = undefined;
      entry.wheelPrevious = undefined;
      entry.wheelSlot = -1;
      this.#size -= 1;
      if (entry.deadlineMs <= now) due.push(entry);
      else this.#link(entry);
      entry = next;
    }
    for (const expired of due) {
      try {
        // What came before it may have set or cleared it again.
        if (expired.wheelSlot < 0 && expired.deadlineMs <= now) expired.onDeadline();
      } catch (error) {
        this.deps.log.error({ err: error }, 'a deadline handler threw');
      }
    }
  }

  /** The first tick at which the whole deadline has passed; never the current one, which is done. */
  #link(entry: Expiring): void {
    const tick = Math.max(this.#tick + 1, Math.ceil(entry.deadlineMs / this.#tickMs));
    const slot = tick % SLOTS;
    const head = this.#slots[slot];
    entry.wheelSlot = slot;
    entry.wheelNext = head;
    entry.wheelPrevious = undefined;
    if (head) head.wheelPrevious = entry;
    this.#slots[slot] = entry;
    this.#size += 1;
  }

  #unlink(entry: Expiring): void {
    if (entry.wheelPrevious) entry.wheelPrevious.wheelNext = entry.wheelNext;
    else this.#slots[entry.wheelSlot] = entry.wheelNext;
    if (entry.wheelNext) entry.wheelNext.wheelPrevious = entry.wheelPrevious;
    entry.wheelNext = undefined;
    entry.wheelPrevious = undefined;
    entry.wheelSlot = -1;
    this.#size -= 1;
  }

  #tickAt(ms: number): number {
    return Math.floor(ms / this.#tickMs);
  }
}
