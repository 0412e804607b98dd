import { HalleyError } from '@halley/protocol/error';
import { v7 as uuidv7 } from 'uuid';

import { atMost } from './at-most.js';
import { Backoff } from './backoff.js';
import type { Clock } from './clock.js';
import type { ExceptionKind, Exceptions, PushException } from './exceptions.js';
import type { Service } from './lifecycle.js';
import type { Logger } from './log.js';
import type { Metrics } from './metrics.js';

/** What went wrong with one push for one reason within a second, or that reports were lost. */
export interface ExceptionReport {
  /** 16 bytes: a report that is written twice is the same one. They sort by time. */
  readonly reportId: Uint8Array;
  /** Empty of `lost`. */
  readonly id: string;
  readonly caller: string;
  readonly kind: ExceptionKind | 'lost';
  readonly reason: string;
  /** Empty where it is not known. */
  readonly stream: string;
  readonly position: number | undefined;
  /** Some of the devices. */
  readonly keys: readonly string[];
  readonly count: number;
  /** The first time and the last time, Unix milliseconds. */
  readonly atMs: number;
  readonly lastAtMs: number;
}

export interface ExceptionReportsDeps {
  readonly tier: 'logic' | 'job' | 'comet';
  /**
   * Hands reports on, at most {@link REPORTS_A_WRITE}. One that fails is repeated with the same ones, unless with
   * `invalid_argument`: then they are dropped, and lost.
   */
  readonly write: (reports: readonly ExceptionReport[]) => Promise<void>;
  /** New reports of a second; what is of a push, stream and reason that has one counts there. */
  readonly maxPerSecond: number;
  /** Reports that may wait to be written. */
  readonly maxWaiting: number;
  readonly clock: Clock;
  readonly metrics: Metrics;
  readonly log: Logger;
}

export const REPORTS_A_WRITE = 1_000;
/** Devices that a report names. */
export const KEYS_A_REPORT = 32;

const INTERVAL_MS = 1_000;

/** A report that still counts. */
type Open = { -readonly [Field in keyof ExceptionReport]: ExceptionReport[Field] } & { keys: string[] };

/**
 * Gathers what went wrong with pushes, and writes it each second. What is too much is lost: the newest, counted, and
 * reported as lost.
 */
export class ExceptionReports implements Exceptions, Service {
  readonly name = 'ledger reports';
  #open = new Map<string, Open>();
  #waiting: ExceptionReport[] = [];
  #lost = 0;
  #lostFromMs = 0;
  #timer: NodeJS.Timeout | undefined;
  #writing: Promise<void> | undefined;
  #failing = false;
  readonly #stopping = new AbortController();
  readonly #reports;
  readonly #losses;
  readonly #failures;

  constructor(private readonly deps: ExceptionReportsDeps) {
    const { reports, losses, failures } = exceptionMetrics(deps.metrics, deps.tier);
    this.#reports = reports;
    this.#losses = losses;
    this.#failures = failures;
  }

  async start(): Promise<void> {
    this.#timer = setInterval(() => this.flush(), INTERVAL_MS).unref();
  }

  /** Writes what there is, as far as that can be done in time. */
  async stop(deadlineMs: number): Promise<void> {
    clearInterval(this.#timer);
    this.flush();
    await atMost(this.#writing ?? Promise.resolve(), deadlineMs);
    this.#stopping.abort();
    this.#abandon(this.#waiting.splice(0));
    // One that waits to repeat its write ends now; one that is writing counts when that fails.
    await atMost(this.#writing ?? Promise.resolve(), 0);
  }

  tell(exception: PushException): void {
    const {
      id,
      caller = '',
      kind,
      reason,
      stream = '',
      position,
      key,
      keys: some = [],
      count = 1,
    } = exception;
    if (id === '') return;
    const named = key === undefined ? some : [key, ...some];
    const name = `${kind} ${reason} ${position ?? ''} ${stream}\n${id}\n${caller}`;
    const now = this.deps.clock.now();
    const known = this.#open.get(name);
    if (known) {
      known.count += count;
      known.lastAtMs = now;
      for (const one of named)
        if (known.keys.length < KEYS_A_REPORT && !known.keys.includes(one)) known.keys.push(one);
      return;
    }
    if (this.#open.size >= this.deps.maxPerSecond) return this.#lose(count, now);
    const keys = named.slice(0, KEYS_A_REPORT);
    const times = { atMs: now, lastAtMs: now };
    const reportId = new Uint8Array(0);
    this.#open.set(name, { reportId, id, caller, kind, reason, stream, position, keys, count, ...times });
  }

  /** Ends the second: what was told until now is to be written. */
  flush(): void {
    const now = this.deps.clock.now();
    for (const report of this.#open.values()) {
      if (this.#waiting.length >= this.deps.maxWaiting) this.#lose(report.count, report.atMs);
      else this.#waiting.push({ ...report, reportId: reportIdAt(report.atMs) });
    }
    this.#open = new Map();
    if (this.#waiting.length + this.#lost === 0) return;
    this.#writing ??= this.#write(now).finally(() => (this.#writing = undefined));
  }

  async #write(nowMs: number): Promise<void> {
    const { signal } = this.#stopping;
    while (this.#waiting.length + this.#lost > 0 && !signal.aborted) {
      const lost = this.#takeLost(nowMs);
      await this.#deliver([...(lost ? [lost] : []), ...this.#waiting.splice(0, REPORTS_A_WRITE - 1)]);
    }
  }

  /** Writes a batch, however often that takes; drops it when it is refused as it is, or at the end. */
  async #deliver(batch: readonly ExceptionReport[]): Promise<void> {
    const backoff = new Backoff({ baseMs: 200, maxMs: 5_000 });
    const { signal } = this.#stopping;
    for (;;) {
      try {
        await this.deps.write(batch);
        break;
      } catch (error) {
        this.#failures.inc();
        if (HalleyError.from(error).code === 'invalid_argument') return this.#refused(batch, error);
        if (!this.#failing) this.deps.log.warn({ err: error }, 'the ledger cannot be written, repeating');
        this.#failing = true;
        await backoff.wait(signal);
        if (signal.aborted) return this.#abandon(batch);
      }
    }
    this.#failing = false;
    for (const { kind } of batch) this.#reports.inc({ kind });
  }

  /** A kind may be one that who takes the reports does not know yet: the others are not dropped for it. */
  async #refused(batch: readonly ExceptionReport[], error: unknown): Promise<void> {
    const kinds = new Set(batch.map(({ kind }) => kind));
    if (kinds.size > 1) {
      for (const kind of kinds) await this.#deliver(batch.filter((report) => report.kind === kind));
      return;
    }
    this.deps.log.warn(
      { err: error, kinds: [...kinds], reports: batch.length },
      'reports were refused: dropped',
    );
    for (const { count, kind, atMs } of batch) if (kind !== 'lost') this.#lose(count, atMs);
  }

  /** Counts what is not written any more; what it says of losses is counted. */
  #abandon(reports: readonly ExceptionReport[]): void {
    if (reports.length === 0) return;
    for (const { count, kind } of reports) if (kind !== 'lost') this.#losses.inc(count);
    this.deps.log.warn({ reports: reports.length }, 'reports for the ledger were not written before the end');
  }

  #lose(count: number, atMs: number): void {
    if (this.#lost === 0) this.#lostFromMs = atMs;
    this.#lost += count;
    this.#losses.inc(count);
  }

  #takeLost(nowMs: number): ExceptionReport | undefined {
    if (this.#lost === 0) return undefined;
    const [count, atMs] = [this.#lost, this.#lostFromMs];
    this.#lost = 0;
    const what = { id: '', caller: '', kind: 'lost' as const, reason: 'too_many', stream: '', keys: [] };
    const lastAtMs = Math.max(nowMs, atMs);
    return { ...what, reportId: reportIdAt(atMs), position: undefined, count, atMs, lastAtMs };
  }
}

/** Registers what a tier counts of its reports. */
export function exceptionMetrics(metrics: Metrics, tier: ExceptionReportsDeps['tier']) {
  return {
    reports: metrics.counter(
      `halley_${tier}_ledger_reports_total`,
      'Reports of what went wrong with pushes that were written for the ledger, by kind (expired, dropped, dead, refused, lost).',
      ['kind'],
    ),
    losses: metrics.counter(
      `halley_${tier}_ledger_lost_total`,
      'Things that went wrong with pushes and that the ledger does not know of, because too many came at once, or it could not be written or refused them.',
    ),
    failures: metrics.counter(
      `halley_${tier}_ledger_write_failures_total`,
      'Writes of reports for the ledger that failed: they are repeated, except what is refused as it is.',
    ),
  };
}

function reportIdAt(atMs: number): Uint8Array {
  return uuidv7({ msecs: atMs }, new Uint8Array(16));
}
