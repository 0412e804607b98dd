/**
 * Keeps the order of one caller's pushes up to the bus: each is started when what it needs is known and all that came
 * before it were started. It does not wait for them to be written; the bus keeps the order from there.
 */
export class Lane {
  #waiting = 0;
  #tail: Promise<void> = Promise.resolve();

  /** Whether nothing waits for its turn. */
  get idle(): boolean {
    return this.#waiting === 0;
  }

  /** Starts at once, before returning, when nothing waits and nothing is needed. */
  run<Needed, Result>(
    needs: Needed | Promise<Needed>,
    start: (needed: Needed) => Promise<Result>,
  ): Promise<Result> {
    if (this.idle && !(needs instanceof Promise)) return start(needs);
    this.#waiting += 1;
    const started = Promise.all([needs, this.#tail]).then(([needed]) => ({ result: start(needed) }));
    const leave = (): void => {
      this.#waiting -= 1;
    };
    this.#tail = started.then(leave, leave);
    return started.then(({ result }) => result);
  }
}

/** Lanes by caller (a connection's address); a lane lives while something waits in it. */
export class Lanes {
  readonly #lanes = new Map<string, Lane>();

  run<Needed, Result>(
    caller: string,
    needs: Needed | Promise<Needed>,
    start: (needed: Needed) => Promise<Result>,
  ): Promise<Result> {
    const known = this.#lanes.get(caller);
    if (!known && !(needs instanceof Promise)) return start(needs);
    const lane = known ?? new Lane();
    this.#lanes.set(caller, lane);
    const result = lane.run(needs, start);
    const leave = (): void => {
      if (lane.idle && this.#lanes.get(caller) === lane) this.#lanes.delete(caller);
    };
    result.then(leave, leave);
    return result;
  }

  /** How many callers have something waiting. */
  get size(): number {
    return this.#lanes.size;
  }
}
