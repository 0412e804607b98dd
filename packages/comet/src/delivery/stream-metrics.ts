import type { Metrics } from '@halley/service/metrics';

import type { HintOutcome } from './hint-walk.js';

/** What a comet counts of the streams that its connections follow. */
export class StreamMetrics {
  readonly #hints;
  readonly #pulls;
  readonly #reads;
  readonly #pages;
  readonly #entries;
  readonly #gaps;
  readonly #frozen;

  constructor(metrics: Metrics) {
    this.#hints = metrics.tally(
      'halley_comet_stream_hints_total',
      "Entries of streams that job told connections of, by what came of it: send (or passed over, where it is not the connection's), drop (had already), pull (the stream is read) or hold (it came while the stream was read, and is counted again behind the page).",
      'result',
    );
    this.#pulls = metrics.counter(
      'halley_comet_stream_pulls_total',
      'Times that a connection had to read its stream to catch up.',
    );
    this.#reads = metrics.counter(
      'halley_comet_stream_reads_total',
      'Calls to logic that read streams, many at once, by result.',
      ['result'],
    );
    this.#pages = metrics.counter('halley_comet_stream_pages_total', 'Pages of streams that were read.');
    this.#entries = metrics.counter(
      'halley_comet_stream_entries_total',
      'Entries of streams that were read, before filtering.',
    );
    this.#gaps = metrics.counter(
      'halley_comet_stream_gaps_total',
      'Times that entries a connection had not seen could not be read any more.',
    );
    this.#frozen = metrics.counter(
      'halley_comet_frozen_total',
      'Connections closed because nothing of what waited for them left in session.frozenTimeoutMs.',
    );
  }

  hint(decision: HintOutcome): void {
    this.#hints.add(decision);
  }

  pulls(): void {
    this.#pulls.inc();
  }

  read(result: 'ok' | 'failed'): void {
    this.#reads.inc({ result });
  }

  page(entries: number): void {
    this.#pages.inc();
    if (entries > 0) this.#entries.inc(entries);
  }

  gap(): void {
    this.#gaps.inc();
  }

  frozen(): void {
    this.#frozen.inc();
  }
}
