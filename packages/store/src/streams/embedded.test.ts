import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

import { silentLogger } from '@halley/service/log';

import { EMBEDDED_FILE } from '../embedded-database.js';
import type { StreamsHarness } from './contract-fixture.js';
import { streamsContract } from './contract.js';
import { EmbeddedStreams } from './embedded.js';

const SHARDS = 24;

async function makeHarness(): Promise<StreamsHarness> {
  const dataDir = await mkdtemp(join(tmpdir(), 'halley-streams-'));
  let now = 1_800_000_000_000;
  const open = async (): Promise<EmbeddedStreams> => {
    const opened = new EmbeddedStreams({
      dataDir,
      shards: SHARDS,
      log: silentLogger(),
      clock: { now: () => now, monotonicMs: () => now },
    });
    await opened.start();
    return opened;
  };
  let streams = await open();
  return {
    get streams() {
      return streams;
    },
    shards: SHARDS,
    now: () => now,
    pass: async (ms) => {
      now += ms;
    },
    empty: async () => {
      await streams.stop();
      await rm(join(dataDir, EMBEDDED_FILE));
      streams = await open();
    },
    reopen: async () => {
      await streams.stop();
      streams = await open();
    },
    close: async () => {
      await streams.stop();
      await rm(dataDir, { recursive: true });
    },
  };
}

streamsContract('the embedded file', makeHarness);
