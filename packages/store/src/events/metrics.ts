import type { Metrics } from '@halley/service/metrics';

/** Registers what is counted of the business's events. */
export function eventMetrics(metrics: Metrics) {
  return {
    written: metrics.counter(
      'halley_events_written_total',
      'Events that were written to halley-events, by kind (connected, disconnected, message_in, delivered, read, offline).',
      ['kind'],
    ),
    lost: metrics.counter(
      'halley_events_lost_total',
      'Events that were not written, by kind and reason: queue_full (events.maxQueued, as when the bus is away), too_large for the bus, stopped (the node went first).',
      ['kind', 'reason'],
    ),
    failures: metrics.counter(
      'halley_events_write_failures_total',
      'Writes of events that failed and were repeated, by error code.',
      ['code'],
    ),
  };
}
