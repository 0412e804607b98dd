import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

import { silentLogger } from '@halley/service/log';
import { EmbeddedArchive } from '@halley/store/archive/embedded';
import { type Bus, Topic } from '@halley/store/bus/bus';
import { EmbeddedDeadLetters } from '@halley/store/dead/embedded';
import { EmbeddedLedger } from '@halley/store/ledger/embedded';
import { EmbeddedSchedules } from '@halley/store/schedule/embedded';
import { EmbeddedReads } from '@halley/store/reads/embedded';
import { EmbeddedStreams } from '@halley/store/streams/embedded';

/** For tests: streams, archive, dead letters and read positions in a folder of their own. */
export interface EmbeddedStores {
  readonly streams: EmbeddedStreams;
  readonly archive: EmbeddedArchive;
  readonly dead: EmbeddedDeadLetters;
  readonly reads: EmbeddedReads;
  readonly schedules: EmbeddedSchedules;
  readonly ledger: EmbeddedLedger;
  /** Stops them and removes the folder. */
  stop(): Promise<void>;
}

/** Starts them for the shards of this bus. */
export async function embeddedStores(bus: Pick<Bus, 'partitions'>): Promise<EmbeddedStores> {
  const dataDir = await mkdtemp(join(tmpdir(), 'halley-logic-'));
  const streams = new EmbeddedStreams({ dataDir, shards: bus.partitions(Topic.Push), log: silentLogger() });
  const archive = new EmbeddedArchive({ dataDir });
  await streams.start();
  const reads = new EmbeddedReads({ dataDir });
  const ledger = new EmbeddedLedger({ dataDir });
  await archive.start();
  await ledger.start();
  const dead = new EmbeddedDeadLetters({ dataDir });
  await dead.start();
  const schedules = new EmbeddedSchedules({ dataDir });
  await schedules.start();
  await reads.start();
  return {
    streams,
    archive,
    dead,
    reads,
    schedules,
    ledger,
    stop: async () => {
      await ledger.stop();
      await schedules.stop();
      await reads.stop();
      await dead.stop();
      await archive.stop();
      await streams.stop();
      await rm(dataDir, { recursive: true, force: true });
    },
  };
}
