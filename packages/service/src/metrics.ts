import {
  collectDefaultMetrics,
  Counter,
  Gauge,
  Histogram,
  type Metric,
  Registry as MetricRegistry,
} from 'prom-client';

import { Tally } from './tally.js';

/** Durations in seconds, from a fraction of a millisecond to 10 s. */
export const DURATION_BUCKETS: readonly number[] = [
  0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10,
];

export interface MetricsOptions {
  /** Process, garbage collector and event-loop lag. Default true; false in tests. */
  readonly process?: boolean;
}

/**
 * The metrics of one process, for `/metrics`. Names are `halley_{tier}_…` with their unit (`_seconds`, `_bytes`,
 * `_total`). Asking for a name again answers the same metric, so that tiers can share one process.
 */
export class Metrics {
  readonly registry = new MetricRegistry();
  readonly #tallies = new Map<string, Tally>();

  constructor(options: MetricsOptions = {}) {
    if (options.process !== false) collectDefaultMetrics({ register: this.registry });
  }

  /** Counts up; the name ends in `_total`. */
  counter<Label extends string = never>(
    name: string,
    help: string,
    labelNames: readonly Label[] = [],
  ): Counter<Label> {
    return this.#once(name, () => new Counter({ name, help, labelNames, registers: [this.registry] }));
  }

  /** Counts up by the values of one label, very often: see {@link Tally}. The name ends in `_total`. */
  tally(name: string, help: string, label: string): Tally {
    let tally = this.#tallies.get(name);
    if (!tally) {
      const made = new Tally();
      this.#tallies.set(name, (tally = made));
      const counter: Counter = new Counter({
        name,
        help,
        labelNames: [label],
        registers: [this.registry],
        collect: () => made.handOver((value, count) => counter.inc({ [label]: value }, count)),
      });
    }
    return tally;
  }

  /** A level. With `collect`, it is asked for on each scrape: set the gauge there. */
  gauge<Label extends string = never>(
    name: string,
    help: string,
    labelNames: readonly Label[] = [],
    collect?: (gauge: Gauge<Label>) => void | Promise<void>,
  ): Gauge<Label> {
    return this.#once(name, () => {
      const gauge: Gauge<Label> = new Gauge<Label>({
        name,
        help,
        labelNames,
        registers: [this.registry],
        ...(collect ? { collect: () => collect(gauge) } : {}),
      });
      return gauge;
    });
  }

  /** A distribution; `DURATION_BUCKETS` serves for seconds. */
  histogram<Label extends string = never>(
    name: string,
    help: string,
    buckets: readonly number[],
    labelNames: readonly Label[] = [],
  ): Histogram<Label> {
    return this.#once(
      name,
      () => new Histogram({ name, help, labelNames, buckets: [...buckets], registers: [this.registry] }),
    );
  }

  #once<Kind extends Metric>(name: string, make: () => Kind): Kind {
    return (this.registry.getSingleMetric(name) as Kind | undefined) ?? make();
  }
}
