import { setTimeout as sleep } from 'node:timers/promises';

import { HalleyError } from '@halley/protocol/error';
import { atMost } from '@halley/service/at-most';
import { Backoff } from '@halley/service/backoff';
import type { Service } from '@halley/service/lifecycle';
import type { Logger } from '@halley/service/log';
import { type Bus, type BusRecord, Topic } from '@halley/store/bus/bus';
import { recordSize } from '@halley/store/bus/record-size';
import type { FinishedSchedule, LeasedSchedule, Schedules } from '@halley/store/schedule/schedules';

import type { JobMetrics } from '../metrics.js';
import { type WriteOutcome, writeRecords } from '../write-records.js';
import { recordsOf } from './records.js';
import { scheduleOccurrences } from './recurrence.js';

export interface FiringDeps {
  readonly schedules: Schedules;
  readonly bus: Pick<Bus, 'produce'>;
  /** Tells this job from others, and from an earlier start of it. */
  readonly owner: string;
  readonly limits: FiringLimits;
  readonly maxRecordBytes: number;
  readonly metrics: JobMetrics;
  readonly log: Logger;
  /** For tests. Waits so long, or until the signal aborts; never rejects. */
  readonly wait?: (ms: number, signal: AbortSignal) => Promise<void>;
}

export interface FiringLimits {
  /** How often it is looked for what is due, at least. */
  readonly pollMs: number;
  readonly leaseMs: number;
  readonly maxRows: number;
  readonly maxBytes: number;
}

/** The clock of the store is not this one: no sooner than this. */
const MIN_WAIT_MS = 20;

type Topics = typeof Topic.Push | typeof Topic.Bulk;

interface Firing {
  readonly schedule: LeasedSchedule;
  readonly topic: Topics;
  readonly records: readonly BusRecord[];
}

/**
 * Writes what is due to the bus. Every job does; the store gives a caller's schedules to one at a time. What the bus did not
 * acknowledge is written again, in the same order, until it did: by this job, or by another once the lease ran out. The bus
 * may have a push twice then, and the first in it counts.
 */
export class ScheduleFiring implements Service {
  readonly name = 'schedules';
  readonly #end = new AbortController();
  #running: Promise<void> = Promise.resolve();

  constructor(private readonly deps: FiringDeps) {}

  async start(): Promise<void> {
    this.#running = this.#run();
  }

  /** What is on its way is finished first. */
  async stop(deadlineMs: number): Promise<void> {
    this.#end.abort();
    await atMost(this.#running, deadlineMs);
  }

  async #run(): Promise<void> {
    const { limits, metrics, log } = this.deps;
    const { signal } = this.#end;
    const wait = this.deps.wait ?? waitFor;
    let away = false;
    while (!signal.aborted) {
      let waitMs: number;
      try {
        waitMs = await this.step();
        if (away) log.info('schedules can be read again');
        away = false;
      } catch (error) {
        waitMs = limits.pollMs;
        metrics.schedule.failures.inc({ store: 'schedules', code: HalleyError.from(error).code });
        if (!away) log.warn({ err: error }, 'schedules cannot be read, trying again');
        away = true;
      }
      if (waitMs > 0) await wait(waitMs, signal);
    }
  }

  /** Fires some of what is due now; answers after how many milliseconds to look again. For tests, too. */
  async step(): Promise<number> {
    const { schedules, limits, metrics, log } = this.deps;
    const { nowMs, scheduleAtMs = Infinity, recurringAtMs = Infinity } = await schedules.next();
    metrics.schedule.overdue.set(Math.max(0, nowMs - scheduleAtMs) / 1_000);
    const scheduled = recurringAtMs <= nowMs ? await scheduleOccurrences({ schedules, metrics, log }) : 0;
    if (scheduled > 0 || scheduleAtMs <= nowMs) {
      const fired = await this.#fireDue();
      // What is due and not given is another job's, which goes on with it.
      return fired > 0 || scheduled > 0 ? 0 : limits.pollMs;
    }
    const dueInMs = Math.min(scheduleAtMs, recurringAtMs) - nowMs;
    return Math.min(limits.pollMs, Math.max(MIN_WAIT_MS, dueInMs));
  }

  /** Answers how many were fired. */
  async #fireDue(): Promise<number> {
    const { schedules, owner, limits, metrics } = this.deps;
    const { nowMs, rows } = await schedules.lease(owner, limits);
    if (rows.length === 0) return 0;
    const renewing = setInterval(() => {
      schedules.renew(owner, limits.leaseMs).catch(() => undefined);
    }, limits.leaseMs / 3);
    try {
      const ended = await this.#fire(rows);
      // Aborted: whoever takes over finds them in firing.
      if (!ended) return 0;
      await this.#finish(ended);
      const failed = new Set(ended.filter(({ state }) => state === 'failed').map(({ seq }) => seq));
      for (const row of rows) {
        if (failed.has(row.seq)) continue;
        metrics.schedule.fired.inc({ kind: row.members ? 'digest' : 'push' });
        if (row.again) metrics.schedule.refired.inc();
        metrics.schedule.lateness.observe(Math.max(0, nowMs - row.dueAtMs) / 1_000);
      }
      return rows.length;
    } finally {
      clearInterval(renewing);
    }
  }

  /** Writes all, in order; undefined when it was aborted first. */
  async #fire(rows: readonly LeasedSchedule[]): Promise<FinishedSchedule[] | undefined> {
    const ended: FinishedSchedule[] = [];
    const firing: Firing[] = [];
    for (const schedule of rows) {
      const made = this.#make(schedule);
      if (made) firing.push(made);
      else ended.push({ seq: schedule.seq, state: 'failed' });
    }
    for (const topic of [Topic.Push, Topic.Bulk] as const) {
      const finished = await this.#write(
        topic,
        firing.filter((one) => one.topic === topic),
      );
      if (!finished) return undefined;
      ended.push(...finished);
    }
    return ended;
  }

  #make(schedule: LeasedSchedule): Firing | undefined {
    try {
      const made = recordsOf(schedule);
      if (made.records.every((record) => recordSize(record) <= this.deps.maxRecordBytes))
        return { schedule, ...made };
      return this.#fail(schedule, 'too_large');
    } catch (error) {
      return this.#fail(schedule, 'undecodable', error);
    }
  }

  #fail({ seq, caller, id }: LeasedSchedule, reason: string, err?: unknown): undefined {
    this.deps.metrics.schedule.failed.inc({ reason });
    this.deps.log.error({ seq, caller, id, reason, err }, 'a scheduled push cannot be delivered');
    return undefined;
  }

  /** Repeats until the bus has all; undefined when it was aborted first. */
  async #write(topic: Topics, firing: readonly Firing[]): Promise<FinishedSchedule[] | undefined> {
    if (firing.length === 0) return [];
    const all = firing.flatMap(({ records }) => records);
    switch (await this.#produce(topic, all)) {
      case 'aborted':
        return undefined;
      case 'written':
        return firing.map(({ schedule: { seq } }) => ({ seq, state: 'fired' }));
      case 'too_large':
        return this.#writeEach(topic, firing);
    }
  }

  /** The brokers may allow less than the configuration says: each record goes alone, to find which schedules fail. */
  async #writeEach(topic: Topics, firing: readonly Firing[]): Promise<FinishedSchedule[] | undefined> {
    const ended: FinishedSchedule[] = [];
    for (const { schedule, records } of firing) {
      let outcome: WriteOutcome = 'written';
      for (const record of records) if (outcome === 'written') outcome = await this.#produce(topic, [record]);
      if (outcome === 'aborted') return undefined;
      if (outcome === 'too_large') this.#fail(schedule, 'too_large');
      ended.push({ seq: schedule.seq, state: outcome === 'written' ? 'fired' : 'failed' });
    }
    return ended;
  }

  #produce(topic: Topics, records: readonly BusRecord[]): Promise<WriteOutcome> {
    const { bus, metrics, log } = this.deps;
    let told = false;
    return writeRecords(bus, topic, records, {
      signal: this.#end.signal,
      maxBackoffMs: 1_000,
      onFailure: (err, code) => {
        metrics.schedule.failures.inc({ store: 'bus', code });
        if (!told) log.warn({ err }, 'scheduled pushes not written, repeating');
        told = true;
      },
    });
  }

  /** While the store is away it is repeated: otherwise all would be written again. */
  async #finish(ended: readonly FinishedSchedule[]): Promise<void> {
    const { schedules, owner, metrics, log } = this.deps;
    const backoff = new Backoff({ baseMs: 50, maxMs: 1_000 });
    for (let attempt = 1; ; attempt += 1) {
      try {
        return await schedules.finish(owner, ended);
      } catch (error) {
        if (this.#end.signal.aborted) throw error;
        metrics.schedule.failures.inc({ store: 'schedules', code: HalleyError.from(error).code });
        if (attempt === 1) log.warn({ err: error }, 'fired schedules not marked, repeating');
        await backoff.wait(this.#end.signal);
      }
    }
  }
}

async function waitFor(ms: number, signal: AbortSignal): Promise<void> {
  await sleep(ms, undefined, { signal, ref: false }).catch(() => undefined);
}
