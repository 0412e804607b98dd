import { HalleyError } from '@halley/protocol/error';
import { Backoff } from '@halley/service/backoff';
import type { Clock } from '@halley/service/clock';
import type { Logger } from '@halley/service/log';
import type { Archive } from '@halley/store/archive/archive';
import { BEFORE_ALL, type Position, type Streams } from '@halley/store/streams/streams';

import type { JobMetrics } from '../metrics.js';
import { Wakeup } from '../wakeup.js';

export interface ArchiveLimits {
  /** Entries that come within this are archived together. */
  readonly joinMs: number;
  /** When only what needs no archive went by, the watermark follows this often. */
  readonly idleMs: number;
  /** Positions that one transaction takes. */
  readonly maxEntries: number;
}

export interface ArchiveLaneDeps {
  readonly streams: Pick<Streams, 'scan' | 'trim'>;
  readonly archive: Pick<Archive, 'watermark' | 'store'>;
  /** The bus's. */
  readonly epoch: string;
  readonly limits: ArchiveLimits;
  readonly clock: Clock;
  readonly metrics: JobMetrics;
  readonly log: Logger;
}

/**
 * Takes what one partition's streams hold to the archive, in order, and lets the streams go of it then. While the database
 * is away it tries again, and the streams keep everything. Several nodes may do so for one partition: the watermark
 * moves only from where the one who moves it has read it.
 */
export class ArchiveLane {
  readonly #log: Logger;
  readonly #end = new AbortController();
  /** Woken when there may be something to do. */
  readonly #changed = new Wakeup();
  /** Woken after each round. */
  readonly #looks = new Wakeup();
  readonly #running: Promise<void>;
  #watermark: Position | undefined;
  /** Up to where the streams have everything, as was told last. */
  #appended: Position | undefined;
  /** The same, when entries came last. */
  #durable: Position = BEFORE_ALL;
  /** When the oldest entries were told that are not archived. */
  #oldestAtMs: number | undefined;
  /** When the last round ended. */
  #lookedAtMs = -Infinity;
  #hurry = false;
  #inRound = false;
  #rounds = 0;
  #away = false;

  constructor(
    readonly shard: number,
    private readonly deps: ArchiveLaneDeps,
  ) {
    this.#log = deps.log.child({ partition: shard });
    this.#running = this.#run();
  }

  /** Up to where the archive has everything; undefined until it is known. */
  get watermark(): Position | undefined {
    return this.#watermark;
  }

  /** For how long the oldest entry that is not archived has waited, in milliseconds; 0 when all are. */
  get lagMs(): number {
    return this.#oldestAtMs === undefined ? 0 : this.deps.clock.monotonicMs() - this.#oldestAtMs;
  }

  /** The streams have everything up to here; `durable` when entries came with it. */
  appended(through: Position, durable: boolean): void {
    this.#appended = through;
    if (durable) {
      this.#durable = through;
      this.#oldestAtMs ??= this.deps.clock.monotonicMs();
    }
    this.#changed.wake();
  }

  /** Archives what the streams have by now; resolves when that was done or could not be. */
  async flush(): Promise<void> {
    const wanted = this.#rounds + (this.#inRound ? 2 : 1);
    this.#hurry = true;
    this.#changed.wake();
    while (!this.#end.signal.aborted && !this.#away && this.#rounds < wanted) await this.#looks.wait();
  }

  /** Begins nothing more; resolves when what was under way is over. */
  async end(): Promise<void> {
    this.#end.abort();
    this.#changed.wake();
    await this.#running;
    this.#looks.wake();
  }

  async #run(): Promise<void> {
    const { signal } = this.#end;
    const backoff = new Backoff({ baseMs: 200, maxMs: 5_000 });
    while (!signal.aborted) {
      await this.#due();
      if (signal.aborted) return;
      this.#hurry = false;
      this.#inRound = true;
      try {
        await this.#round();
        if (this.#away) this.#log.info('streams are archived again');
        this.#away = false;
        backoff.reset();
      } catch (error) {
        this.#failed(error);
      }
      this.#inRound = false;
      this.#rounds += 1;
      this.#looks.wake();
      if (this.#away) await backoff.wait(signal);
    }
  }

  /** Archives all that the streams have above the watermark. */
  async #round(): Promise<void> {
    const { streams, archive, epoch, limits, clock, metrics } = this.deps;
    const { shard } = this;
    this.#watermark ??= await archive.watermark(shard, epoch);
    for (let more = true; more && !this.#end.signal.aborted;) {
      const since = clock.monotonicMs();
      const goal = this.#appended ?? Infinity;
      const from = this.#watermark;
      const page = await streams.scan(shard, epoch, from, limits.maxEntries);
      // A shard that knows nothing is filled again by whoever reads the partition.
      more = page !== undefined && page.through > from;
      if (page && more) {
        const stored = await archive.store({ shard, epoch, from, ...page });
        // Otherwise another node was faster, or this one's earlier write was carried out after all.
        this.#watermark = stored ? page.through : await archive.watermark(shard, epoch);
        if (stored) metrics.archived.inc(page.entries.length);
        metrics.archiveSeconds.observe((clock.monotonicMs() - since) / 1_000);
        more = this.#watermark < goal;
      }
      if (page) await streams.trim(shard, epoch, this.#watermark);
      if (!more) this.#looked(since);
    }
  }

  /** All that had been told by `sinceMs` is archived. */
  #looked(sinceMs: number): void {
    this.#lookedAtMs = this.deps.clock.monotonicMs();
    this.#oldestAtMs = this.#durable > this.#watermark! ? sinceMs : undefined;
  }

  /** Resolves when there is something to do: what comes meanwhile is joined. */
  async #due(): Promise<void> {
    const { signal } = this.#end;
    for (let waitMs = this.#waitMs(); waitMs > 0 && !signal.aborted; waitMs = this.#waitMs()) {
      await this.#changed.wait(waitMs);
    }
  }

  #waitMs(): number {
    const { clock, limits } = this.deps;
    const now = clock.monotonicMs();
    if (this.#hurry || this.#watermark === undefined) return 0;
    if (this.#oldestAtMs !== undefined) return this.#oldestAtMs + limits.joinMs - now;
    if (this.#appended !== undefined && this.#appended > this.#watermark)
      return this.#lookedAtMs + limits.idleMs - now;
    return Infinity;
  }

  #failed(error: unknown): void {
    const { code } = HalleyError.from(error);
    this.deps.metrics.archiveFailures.inc({ code });
    if (!this.#away) this.#log.warn({ err: error }, 'streams cannot be archived, trying again');
    this.#away = true;
  }
}
