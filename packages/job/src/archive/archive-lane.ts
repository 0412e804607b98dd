import { Backoff } from '@halley/service/backoff';
import type { Clock } from '@halley/service/clock';
import { BEFORE_ALL, type Position } from '@halley/store/streams/streams';

import { Wakeup } from '../wakeup.js';

export interface ArchiveTimes {
  /** Entries that come within this are archived together. */
  readonly joinMs: number;
  /** When only what needs no archive went by, the watermark follows this often. */
  readonly idleMs: number;
}

export interface ArchiveLaneDeps {
  readonly times: ArchiveTimes;
  readonly clock: Clock;
  /** Something changed of when it is due. */
  readonly changed: () => void;
}

/** How one partition stands with the archive, and when it is to be looked at: the archiver does the work. */
export class ArchiveLane {
  /** Woken after each look. */
  readonly #looks = new Wakeup();
  readonly #backoff = new Backoff({ baseMs: 200, maxMs: 5_000 });
  #watermark: Position | undefined;
  /** Up to where the streams have everything, as was told last. */
  #appended: Position | undefined;
  /** The same, when entries came last. */
  #durable: Position = BEFORE_ALL;
  /** When the oldest entries were told that are not archived. */
  #oldestAtMs: number | undefined;
  /** When the last look at everything ended. */
  #lookedAtMs = -Infinity;
  /** The page that was archived last was not all. */
  #more = false;
  /** Flushes that were asked for; of these, those that the look under way began after, and those that are done. */
  #flushes = 0;
  #flushing = 0;
  #flushed = 0;
  #failures = 0;
  #againAtMs = 0;
  #busy = false;
  #ended = false;

  constructor(
    readonly shard: number,
    private readonly deps: ArchiveLaneDeps,
  ) {}

  /** Up to where the archive has everything; undefined until it is known. */
  get watermark(): Position | undefined {
    return this.#watermark;
  }

  /** Up to where the streams have everything; undefined until it is told. */
  get appendedThrough(): Position | undefined {
    return this.#appended;
  }

  /** For how long the oldest entry that is not archived has waited, in milliseconds; 0 when all are. */
  get lagMs(): number {
    return this.#oldestAtMs === undefined ? 0 : this.deps.clock.monotonicMs() - this.#oldestAtMs;
  }

  /** Failed attempts since the last one that went well. */
  get failures(): number {
    return this.#failures;
  }

  get busy(): boolean {
    return this.#busy;
  }

  get ended(): boolean {
    return this.#ended;
  }

  /** Whether entries wait, that are to go along with those of other partitions. */
  get waits(): boolean {
    return this.#oldestAtMs !== undefined;
  }

  /** The streams have everything up to here; `durable` when entries came with it. */
  appended(through: Position, durable: boolean): void {
    const before = this.dueAtMs();
    this.#appended = through;
    if (durable) {
      this.#durable = through;
      this.#oldestAtMs ??= this.deps.clock.monotonicMs();
    }
    if (this.dueAtMs() < before) this.deps.changed();
  }

  /** When it is to be looked at, in monotonic milliseconds; Infinity when nothing is to be done. */
  dueAtMs(): number {
    const { joinMs, idleMs } = this.deps.times;
    if (this.#busy || this.#ended) return Infinity;
    if (this.#failures > 0) return this.#againAtMs;
    if (this.#more || this.#watermark === undefined || this.#flushes > this.#flushing) return -Infinity;
    if (this.#oldestAtMs !== undefined) return this.#oldestAtMs + joinMs;
    if (this.#appended !== undefined && this.#appended > this.#watermark) return this.#lookedAtMs + idleMs;
    return Infinity;
  }

  /** Archives what the streams have by now; resolves when that was done or could not be. */
  async flush(): Promise<void> {
    this.#flushes += 1;
    const wanted = this.#flushes;
    this.deps.changed();
    while (!this.#ended && this.#failures === 0 && this.#flushed < wanted) await this.#looks.wait();
  }

  /** Nothing more is begun; resolves when what was under way is over. */
  async end(): Promise<void> {
    this.#ended = true;
    this.#looks.wake();
    while (this.#busy) await this.#looks.wait();
  }

  /** The archiver looks at it from now on, until `looked` or `failed`. */
  begin(): void {
    this.#busy = true;
    this.#flushing = this.#flushes;
  }

  /** The archive has everything up to here. */
  archivedThrough(watermark: Position): void {
    this.#watermark = watermark;
  }

  /** A look that began at `sinceMs` is over; unless there is `more`, what had been told by then is archived. */
  looked(sinceMs: number, more: boolean): void {
    this.#failures = 0;
    this.#backoff.reset();
    this.#more = more;
    if (!more) {
      this.#lookedAtMs = this.deps.clock.monotonicMs();
      this.#oldestAtMs = this.#durable > this.#watermark! ? sinceMs : undefined;
      this.#flushed = this.#flushing;
    }
    this.#over();
  }

  /** A look went wrong: after a while it is tried again. */
  failed(): void {
    this.#failures += 1;
    this.#againAtMs = this.deps.clock.monotonicMs() + this.#backoff.nextMs();
    this.#over();
  }

  #over(): void {
    this.#busy = false;
    this.#looks.wake();
    this.deps.changed();
  }
}
