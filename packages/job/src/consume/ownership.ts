/** The partition went to another job, or this one stops. */
export class LaneEnded extends Error {
  constructor(lane: string) {
    super(`${lane} is not read here any more`);
  }
}

/** This job's reading of one partition, from when it was assigned until it is revoked. */
export class Ownership {
  /** `{topic}/{partition}`. */
  readonly name: string;
  readonly #end = new AbortController();

  constructor(
    readonly topic: string,
    readonly partition: number,
  ) {
    this.name = `${topic}/${partition}`;
  }

  /** Aborts when it ends, so that whoever waits for trouble to pass lets go. */
  get signal(): AbortSignal {
    return this.#end.signal;
  }

  get ended(): boolean {
    return this.#end.signal.aborted;
  }

  end(): void {
    this.#end.abort();
  }

  /** Throws {@link LaneEnded} when it has ended, so that the bus never takes what is in hand for consumed. */
  require(): void {
    if (this.ended) throw new LaneEnded(this.name);
  }
}
