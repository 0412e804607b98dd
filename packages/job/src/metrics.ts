import { DURATION_BUCKETS, type Metrics } from '@halley/service/metrics';

import type { DeliveryClass, DeliveryResult } from './deliver/delivery-queue.js';

/** What is asked for on each scrape. */
export interface JobLevels {
  /** Unix milliseconds at which the bus took the oldest record that is not done; undefined when all are. */
  oldestUndoneMs(): number | undefined;
  undoneRecords(): number;
  /** Bytes queued or unacknowledged, by comet. */
  queueBytes(): Iterable<readonly [comet: string, bytes: number]>;
  /** Links by state. */
  linkStates(): Iterable<readonly [state: string, links: number]>;
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
  readonly #deliveries;

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
    this.lag = metrics.gauge(
      'halley_job_lag_records',
      'Records of a topic that the group has not committed.',
      ['topic'],
    );
  }

  delivered(deliveryClass: DeliveryClass, result: DeliveryResult): void {
    this.#deliveries.inc({ class: deliveryClass, result });
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
    this.metrics.gauge('halley_job_links', 'Streams to comets, by state.', ['state'], (gauge) => {
      gauge.reset();
      for (const [state, links] of levels.linkStates()) gauge.set({ state }, links);
    });
  }
}
