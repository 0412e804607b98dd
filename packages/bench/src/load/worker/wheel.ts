const TICK_MS = 10;
const SLOTS = 1024;

/** What a wheel keeps one timer for. */
export interface Timed {
  /** Of the wheel alone: the tick at which the timer is due; -1 without a timer. */
  dueTick: number;
  onTimer(nowMs: number): void;
}

/**
 * One timer for each of many, in the slots of a wheel: one interval for all, and to set or clear one costs the same however
 * many there are. A timer is up to 20 ms late, and never early.
 */
export class Wheel {
  readonly #slots = Array.from({ length: SLOTS }, () => new Set<Timed>());
  readonly #clock: () => number;
  #turnedTick: number;

  /** `clock` in milliseconds, never going back. */
  constructor(clock: () => number) {
    this.#clock = clock;
    this.#turnedTick = Math.floor(clock() / TICK_MS);
  }

  /** Sets the timer, instead of the one that was set. */
  set(timed: Timed, dueMs: number): void {
    this.clear(timed);
    timed.dueTick = Math.max(Math.floor(dueMs / TICK_MS) + 1, this.#turnedTick + 1);
    this.#slots[timed.dueTick % SLOTS]?.add(timed);
  }

  clear(timed: Timed): void {
    if (timed.dueTick >= 0) this.#slots[timed.dueTick % SLOTS]?.delete(timed);
    timed.dueTick = -1;
  }

  /** Calls what is due. To be called about every 10 ms. */
  turn(): void {
    const nowMs = this.#clock();
    const nowTick = Math.floor(nowMs / TICK_MS);
    // Whatever the pause was, one round passes every slot.
    for (let tick = Math.max(this.#turnedTick, nowTick - SLOTS) + 1; tick <= nowTick; tick += 1) {
      this.#turnedTick = tick;
      for (const timed of this.#slots[tick % SLOTS] ?? []) {
        if (timed.dueTick > tick) continue;
        this.clear(timed);
        timed.onTimer(nowMs);
      }
    }
  }
}
