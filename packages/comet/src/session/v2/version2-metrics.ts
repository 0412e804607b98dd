import type { Metrics } from '@halley/service/metrics';

/** What a comet counts of connections with version 2. */
export class Version2Metrics {
  readonly #failed;
  readonly #ephemerals;
  readonly #unacknowledged;
  readonly #moved;

  constructor(metrics: Metrics) {
    this.#failed = metrics.counter(
      'halley_comet_requests_failed_total',
      'Requests of clients with version 2 that were answered with 39, by its code.',
      ['code'],
    );
    this.#ephemerals = metrics.counter(
      'halley_comet_ephemerals_total',
      'Ephemeral messages of clients, by whether they were handed on (ok) or refused, for their rate too.',
      ['result'],
    );
    this.#unacknowledged = metrics.counter(
      'halley_comet_unacknowledged_total',
      'Connections closed because they acknowledged nothing in session.ackTimeoutMs while more waited behind their window.',
    );
    this.#moved = metrics.counter(
      'halley_comet_moved_total',
      'Connections with version 2 that were asked to go to another node.',
    );
  }

  failed(code: string): void {
    this.#failed.inc({ code });
  }

  ephemeral(result: 'ok' | 'refused'): void {
    this.#ephemerals.inc({ result });
  }

  unacknowledged(): void {
    this.#unacknowledged.inc();
  }

  moved(connections: number): void {
    if (connections > 0) this.#moved.inc(connections);
  }
}
