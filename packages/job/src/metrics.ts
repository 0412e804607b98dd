import { DURATION_BUCKETS, type Metrics } from '@halley/service/metrics';

import type { DeliveryClass, DeliveryResult } from './deliver/delivery-queue.js';
import { scheduleMetrics } from './schedule/metrics.js';

/** What is asked for on each scrape. */
export interface JobLevels {
  /** Unix milliseconds at which the bus took the oldest record that is not done; undefined when all are. */
  oldestUndoneMs(): number | undefined;
  /** Unix milliseconds at which the bus took the oldest bulk push that waits; undefined when none does. */
  oldestBulkMs(): number | undefined;
  undoneRecords(): number;
  /** Bytes queued or unacknowledged, by comet. */
  queueBytes(): Iterable<readonly [comet: string, bytes: number]>;
  /** Links by state. */
  linkStates(): Iterable<readonly [state: string, links: number]>;
  /** For how long the oldest entry that is not archived has waited, in milliseconds; 0 when all are. */
  archiveLagMs(): number;
  /** Up to where partitions are archived. */
  watermarks(): Iterable<readonly [partition: number, position: number]>;
}

/** The metrics of the job tier. */
export class JobMetrics {
  readonly records;
  readonly deadLetters;
  readonly commitSeconds;
  readonly routeFailures;
  readonly produceFailures;
  readonly linkBreaks;
  readonly lag;
  readonly repeats;
  readonly appendSeconds;
  readonly appended;
  readonly appendFailures;
  readonly rewinds;
  readonly archived;
  readonly archiveSeconds;
  readonly archiveFailures;
  readonly retained;
  readonly blanked;
  readonly bulkMoved;
  readonly deadLettersKept;
  readonly deadLettersRemoved;
  readonly deadLetterFailures;
  readonly schedule;
  readonly #deliveries;
  /** Deliveries of this turn of the loop, by class: a metric with labels takes its time. */
  readonly #counts = new Map<DeliveryClass, Map<DeliveryResult, number>>();
  #isCounting = false;

  constructor(
    private readonly metrics: Metrics,
    private readonly now: () => number,
  ) {
    this.records = metrics.counter('halley_job_records_total', 'Records taken from the bus.', ['topic']);
    this.#deliveries = metrics.counter(
      'halley_job_deliveries_total',
      'What became of pushes, once for each comet they went to, or once when they went to none.',
      ['class', 'result'],
    );
    this.deadLetters = metrics.counter(
      'halley_job_dead_letters_total',
      'Records written to halley-dead, by why.',
      ['topic', 'reason'],
    );
    this.commitSeconds = metrics.histogram(
      'halley_job_commit_seconds',
      'How long commits to the bus took.',
      DURATION_BUCKETS,
    );
    this.routeFailures = metrics.counter(
      'halley_job_route_failures_total',
      'Reads of routes that failed and were repeated.',
    );
    this.produceFailures = metrics.counter(
      'halley_job_produce_failures_total',
      'Writes to the bus that failed and were repeated, by topic and error code.',
      ['topic', 'code'],
    );
    this.linkBreaks = metrics.counter(
      'halley_job_link_breaks_total',
      'Streams to comets that ended, by gRPC status.',
      ['status'],
    );
    this.repeats = metrics.counter(
      'halley_job_ingress_repeats_total',
      "Pushes of goim's topic that a repeated write had put into the bus a second time, and that were left out.",
    );
    this.appendSeconds = metrics.histogram(
      'halley_job_append_seconds',
      'How long it took to take a batch of pushes into their streams.',
      DURATION_BUCKETS,
    );
    this.appended = metrics.counter(
      'halley_job_appended_total',
      'Pushes to users and keys that were taken in, by result: entry is new; known was taken in before at the same place, as after a job was killed; repeated came again under its id; conflict came under the id of another push and was dropped.',
      ['result'],
    );
    this.appendFailures = metrics.counter(
      'halley_job_append_failures_total',
      'Calls to take pushes in that failed and were repeated, by store (streams, archive) and error code.',
      ['store', 'code'],
    );
    this.rewinds = metrics.counter(
      'halley_job_rewinds_total',
      'How often a partition was read again because the streams knew nothing of it (empty), or less than was read (behind).',
      ['why'],
    );
    this.archived = metrics.counter('halley_job_archived_total', 'Entries that were written to the archive.');
    this.archiveSeconds = metrics.histogram(
      'halley_job_archive_seconds',
      'How long it took to read entries from their streams and write them to the archive.',
      DURATION_BUCKETS,
    );
    this.archiveFailures = metrics.counter(
      'halley_job_archive_failures_total',
      'Attempts to archive, or to remove from the archive, that failed and were repeated, by error code.',
      ['code'],
    );
    this.retained = metrics.counter(
      'halley_job_archive_removed_total',
      'Entries that were removed from the archive because they had been kept long enough.',
    );
    this.blanked = metrics.counter(
      'halley_job_archive_blanked_total',
      'Bodies that were removed from the archive because the retention of their push was over.',
    );
    this.bulkMoved = metrics.counter(
      'halley_job_bulk_moved_total',
      'Bulk pushes that were moved to halley-push.',
    );
    this.deadLettersKept = metrics.counter(
      'halley_job_dead_letters_kept_total',
      'Dead letters that were copied to where they are listed from; one that is read again counts again.',
    );
    this.deadLettersRemoved = metrics.counter(
      'halley_job_dead_letters_removed_total',
      'Listed dead letters that were removed because they were too old or too many (dead.maxAgeMs, dead.maxLetters).',
    );
    this.deadLetterFailures = metrics.counter(
      'halley_job_dead_letter_failures_total',
      'Attempts to list dead letters, or to remove some, that failed and were repeated, by error code.',
      ['code'],
    );
    this.schedule = scheduleMetrics(metrics);
    this.lag = metrics.gauge(
      'halley_job_lag_records',
      'Records of a topic that the group has not committed.',
      ['topic'],
    );
  }

  delivered(deliveryClass: DeliveryClass, result: DeliveryResult): void {
    let counts = this.#counts.get(deliveryClass);
    if (!counts) this.#counts.set(deliveryClass, (counts = new Map<DeliveryResult, number>()));
    counts.set(result, (counts.get(result) ?? 0) + 1);
    if (this.#isCounting) return;
    this.#isCounting = true;
    setImmediate(() => this.#handOver());
  }

  #handOver(): void {
    this.#isCounting = false;
    for (const [deliveryClass, counts] of this.#counts) {
      for (const [result, count] of counts) this.#deliveries.inc({ class: deliveryClass, result }, count);
      counts.clear();
    }
  }

  /** Registers the gauges that are read on each scrape. */
  watch(levels: JobLevels): void {
    this.metrics.gauge(
      'halley_job_oldest_undelivered_seconds',
      'Age of the oldest push that was taken from the bus and is not done; 0 when there is none.',
      [],
      (gauge) => {
        const oldest = levels.oldestUndoneMs();
        gauge.set(oldest === undefined ? 0 : Math.max(0, this.now() - oldest) / 1_000);
      },
    );
    this.metrics.gauge(
      'halley_job_bulk_oldest_seconds',
      'Age of the oldest bulk push that waits for other pushes to be done; 0 when none does.',
      [],
      (gauge) => {
        const oldest = levels.oldestBulkMs();
        gauge.set(oldest === undefined ? 0 : Math.max(0, this.now() - oldest) / 1_000);
      },
    );
    this.metrics.gauge('halley_job_undone_records', 'Records taken from the bus and not done.', [], (gauge) =>
      gauge.set(levels.undoneRecords()),
    );
    this.metrics.gauge(
      'halley_job_link_queue_bytes',
      'Bytes queued or unacknowledged on the way to a comet.',
      ['comet'],
      (gauge) => {
        gauge.reset();
        for (const [comet, bytes] of levels.queueBytes()) gauge.set({ comet }, bytes);
      },
    );
    this.metrics.gauge(
      'halley_job_archive_lag_seconds',
      'For how long the oldest entry that is not archived has waited; 0 when all are.',
      [],
      (gauge) => gauge.set(levels.archiveLagMs() / 1_000),
    );
    this.metrics.gauge(
      'halley_job_archive_watermark',
      'Up to which position a partition is archived: the offset of its record times 1,024, plus the index in it.',
      ['partition'],
      (gauge) => {
        gauge.reset();
        for (const [partition, position] of levels.watermarks()) gauge.set({ partition }, position);
      },
    );
    this.metrics.gauge('halley_job_links', 'Streams to comets, by state.', ['state'], (gauge) => {
      gauge.reset();
      for (const [state, links] of levels.linkStates()) gauge.set({ state }, links);
    });
  }
}
