import { DURATION_BUCKETS, type Metrics } from '@halley/service/metrics';
import type { Clock } from '@halley/service/clock';

import type { WebhookKind } from './config.js';

/** What is counted of webhooks. */
export class WebhookMetrics {
  readonly attempts;
  readonly #events;
  readonly #seconds;
  readonly #delay;

  constructor(
    private readonly metrics: Metrics,
    private readonly clock: Clock,
  ) {
    this.attempts = metrics.counter(
      'halley_job_webhook_attempts_total',
      'Webhooks by endpoint and result: taken; failed (to be repeated), refused (status 400, 413, 415, 422), gone (410); dead: put aside in halley-dead; undecodable: a record that is no event.',
      ['endpoint', 'result'],
    );
    this.#events = metrics.counter(
      'halley_job_webhook_events_total',
      'Events that an endpoint has taken, by endpoint and kind.',
      ['endpoint', 'kind'],
    );
    this.#seconds = metrics.histogram(
      'halley_job_webhook_seconds',
      'How long an endpoint took to take an event, by endpoint.',
      DURATION_BUCKETS,
      ['endpoint'],
    );
    this.#delay = metrics.histogram(
      'halley_job_webhook_delay_seconds',
      'From an event being in the bus to an endpoint having taken it, by endpoint.',
      [0.01, 0.05, 0.1, 0.5, 1, 5, 30, 60, 300, 3_600, 86_400],
      ['endpoint'],
    );
  }

  /** `sinceMs` is monotonic, `writtenMs` Unix milliseconds. */
  taken(endpoint: string, kind: WebhookKind, sinceMs: number, writtenMs: number): void {
    this.attempts.inc({ endpoint, result: 'taken' });
    this.#events.inc({ endpoint, kind });
    this.#seconds.observe({ endpoint }, (this.clock.monotonicMs() - sinceMs) / 1_000);
    this.#delay.observe({ endpoint }, Math.max(0, this.clock.now() - writtenMs) / 1_000);
  }

  /** Registers what is read on each scrape: when the bus took the oldest event that an endpoint has not taken. */
  watch(oldestMs: () => Iterable<readonly [endpoint: string, oldestMs: number | undefined]>): void {
    this.metrics.gauge(
      'halley_job_webhook_oldest_seconds',
      'Age of the oldest event that was read for an endpoint and that it has not taken; 0 when there is none.',
      ['endpoint'],
      (gauge) => {
        gauge.reset();
        for (const [endpoint, at] of oldestMs())
          gauge.set({ endpoint }, at === undefined ? 0 : Math.max(0, this.clock.now() - at) / 1_000);
      },
    );
  }
}
