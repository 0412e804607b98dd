import type { Metrics } from '@halley/service/metrics';

/** What the bus in Redis counts beside what every bus does. */
export interface RedisBusMetrics {
  /** What a topic keeps now, as whoever trims it sees it. */
  kept(topic: string, records: number, bytes: number): void;
  trimmed(topic: string, records: number, unread: boolean): void;
}

/** Registers the metrics; without a registry, everything is counted into nothing. */
export function redisBusMetrics(metrics: Metrics | undefined): RedisBusMetrics {
  if (!metrics) return { kept: () => {}, trimmed: () => {} };
  const records = metrics.gauge(
    'halley_bus_kept_records',
    'Bus in Redis: records that a topic keeps, as of when this process trimmed it last.',
    ['topic'],
  );
  const bytes = metrics.gauge(
    'halley_bus_kept_bytes',
    'Bus in Redis: bytes that a topic keeps, as of when this process trimmed it last.',
    ['topic'],
  );
  const trimmed = metrics.counter(
    'halley_bus_trimmed_records_total',
    'Bus in Redis: records removed, by whether every group had taken them or none has ever read the topic.',
    ['topic', 'why'],
  );
  return {
    kept: (topic, count, size) => {
      records.set({ topic }, count);
      bytes.set({ topic }, size);
    },
    trimmed: (topic, count, unread) => {
      if (count > 0) trimmed.inc({ topic, why: unread ? 'unread' : 'taken' }, count);
    },
  };
}
