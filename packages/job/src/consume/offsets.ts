import { Fifo } from '../fifo.js';

/** A record taken from the bus and not yet known to be done. */
export interface TrackedRecord {
  readonly offset: number;
  readonly bytes: number;
  /** Unix milliseconds at which the bus took it. */
  readonly timestampMs: number;
  /** Holds on the record: one while it is being routed, and one for each comet that has still to settle a push of it. */
  holds: number;
}

/** Bounds on the span between what may be committed and what was read. */
export interface WindowLimits {
  readonly maxRecords: number;
  readonly maxBytes: number;
}

/**
 * Which records of one partition are done. A record is done when its last hold is gone; the offset that may be
 * committed is that of the first record that is not: never above something undone, however the others finished.
 */
export class Offsets {
  readonly #span = new Fifo<TrackedRecord>();
  #spanBytes = 0;
  #undone = 0;
  #next: number | undefined;
  #last = -1;

  constructor(
    private readonly limits: WindowLimits,
    /** Called when the span became shorter. */
    private readonly onProgress: () => void = () => undefined,
  ) {}

  /** Takes a record in, held once, for its routing. Offsets must rise; gaps are fine. */
  open(offset: number, bytes: number, timestampMs: number): TrackedRecord {
    if (offset <= this.#last) throw new RangeError(`offset ${offset} after ${this.#last}`);
    this.#last = offset;
    const record = { offset, bytes, timestampMs, holds: 1 };
    this.#span.push(record);
    this.#spanBytes += bytes;
    this.#undone += 1;
    return record;
  }

  /** One more has to settle this record. */
  hold(record: TrackedRecord): void {
    record.holds += 1;
  }

  /** One hold is gone. */
  release(record: TrackedRecord): void {
    record.holds -= 1;
    if (record.holds > 0) return;
    if (record.holds < 0) throw new RangeError(`record ${record.offset} released too often`);
    this.#undone -= 1;
    if (record === this.#span.peek()) this.#advance();
  }

  /** Everything below this offset is done; undefined before the first record is. */
  get committable(): number | undefined {
    return this.#next;
  }

  /** The highest offset taken in, −1 before the first. */
  get last(): number {
    return this.#last;
  }

  /** Records not done. */
  get undone(): number {
    return this.#undone;
  }

  /** When the bus took the oldest record that is not done; undefined when all are. */
  get oldestTimestampMs(): number | undefined {
    return this.#span.peek()?.timestampMs;
  }

  /** Whether the span has reached its bounds: nothing more should be taken in. */
  get full(): boolean {
    return this.#span.length >= this.limits.maxRecords || this.#spanBytes >= this.limits.maxBytes;
  }

  #advance(): void {
    for (let record = this.#span.peek(); record !== undefined; record = this.#span.peek()) {
      if (record.holds > 0) break;
      this.#span.shift();
      this.#spanBytes -= record.bytes;
      this.#next = record.offset + 1;
    }
    this.onProgress();
  }
}
