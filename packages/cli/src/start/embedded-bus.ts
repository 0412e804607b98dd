import type { BusConfig } from '@halley/store/bus/config';
import { EmbeddedBus, type EmbeddedBusDeps } from '@halley/store/bus/embedded';

/** The embedded bus as the section `bus` configures it. */
export function embeddedBus(
  config: BusConfig,
  deps: Pick<EmbeddedBusDeps, 'dataDir' | 'log' | 'clock' | 'trimIntervalMs'>,
): EmbeddedBus {
  const { partitions, maxQueuedBytes, committedRetentionMs, retentionMs, maxRecords } = config;
  return new EmbeddedBus({
    ...deps,
    partitions,
    maxQueuedBytes,
    retention: { committedMs: committedRetentionMs, maxAgeMs: retentionMs, maxRecords },
  });
}
