import { DURATION_BUCKETS, type Metrics } from '@halley/service/metrics';

/** What the bus adapters count. */
export interface BusMetrics {
  /** One batch of one partition was answered: `ok`, or the code of the error. */
  produced(topic: string, outcome: string, records: number, bytes: number, seconds: number): void;
  consumed(topic: string, records: number, bytes: number): void;
  queuedBytes(bytes: number): void;
  rebalanced(group: string): void;
  consumerRestarted(group: string): void;
}

/** Registers the metrics; without a registry, everything is counted into nothing. */
export function busMetrics(metrics: Metrics | undefined): BusMetrics {
  if (!metrics) return NOTHING;
  const produced = metrics.counter('halley_bus_produced_records_total', 'Records answered by the bus.', [
    'topic',
    'outcome',
  ]);
  const producedBytes = metrics.counter('halley_bus_produced_bytes_total', 'Bytes made durable.', ['topic']);
  const seconds = metrics.histogram(
    'halley_bus_produce_seconds',
    'From sending a batch until the bus answered for it.',
    DURATION_BUCKETS,
    ['topic'],
  );
  const consumed = metrics.counter('halley_bus_consumed_records_total', 'Records handled.', ['topic']);
  const consumedBytes = metrics.counter('halley_bus_consumed_bytes_total', 'Bytes handled.', ['topic']);
  const queued = metrics.gauge('halley_bus_queued_bytes', 'Bytes that wait for the bus to take them.');
  const rebalances = metrics.counter('halley_bus_rebalances_total', 'Assignments of partitions.', ['group']);
  const restarts = metrics.counter('halley_bus_consumer_restarts_total', 'Consumers made anew.', ['group']);
  return {
    produced: (topic, outcome, records, bytes, duration) => {
      produced.inc({ topic, outcome }, records);
      if (outcome === 'ok') producedBytes.inc({ topic }, bytes);
      seconds.observe({ topic }, duration);
    },
    consumed: (topic, records, bytes) => {
      consumed.inc({ topic }, records);
      consumedBytes.inc({ topic }, bytes);
    },
    queuedBytes: (bytes) => queued.set(bytes),
    rebalanced: (group) => rebalances.inc({ group }),
    consumerRestarted: (group) => restarts.inc({ group }),
  };
}

const NOTHING: BusMetrics = {
  produced: () => {},
  consumed: () => {},
  queuedBytes: () => {},
  rebalanced: () => {},
  consumerRestarted: () => {},
};
