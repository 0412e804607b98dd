import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

import { setTimeout as sleep } from 'node:timers/promises';

import { afterEach, beforeEach, describe, expect, test } from '@jest/globals';
import { silentLogger } from '@halley/service/log';

import { EMBEDDED_FILE, openEmbeddedDatabase, type EmbeddedDatabase } from '../embedded-database.js';
import { key, ShardFixture, type StreamsHarness } from './contract-fixture.js';
import { streamsContract } from './contract.js';
import { openTables, type StreamTables } from './embedded-tables.js';
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

describe('what the file of the streams no longer needs', () => {
  let dataDir: string;
  let database: EmbeddedDatabase;
  let tables: StreamTables;
  let streams: EmbeddedStreams;
  let shard: ShardFixture;
  let now = 1_800_000_000_000;

  beforeEach(async () => {
    dataDir = await mkdtemp(join(tmpdir(), 'halley-streams-'));
    streams = new EmbeddedStreams({
      dataDir,
      shards: SHARDS,
      log: silentLogger(),
      clock: { now: () => now, monotonicMs: () => now },
      sweepIntervalMs: 10,
    });
    await streams.start();
    database = await openEmbeddedDatabase(dataDir);
    tables = openTables(database);
    shard = await new ShardFixture({ streams, shards: SHARDS, now: () => now }, 0).begin();
  });
  afterEach(async () => {
    await streams.stop();
    await database.release();
    await rm(dataDir, { recursive: true });
  });

  const rows = (table: { getCount(): number; resetReadTxn(): void }): number => {
    table.resetReadTxn();
    return table.getCount();
  };

  test('goes with the trimming, in as many steps as it takes', async () => {
    const [a, b] = [shard.stream(), shard.stream()];
    const body = Buffer.alloc(300);
    await shard.append(
      Array.from({ length: 1_201 }, (_, position) => shard.push(position, [a, b], { body })),
    );
    await shard.trim(1_199);
    expect([rows(tables.entries), rows(tables.index), rows(tables.contents)]).toEqual([2, 1, 1]);
    expect(await shard.positions(a)).toEqual([1_200]);
  });

  test('goes after its time: ids and newest positions after a day, cursors after theirs', async () => {
    const [old, fresh] = [shard.stream(), shard.stream()];
    const cursor = { stream: old, key: key('web'), epoch: 'e', position: 0, owner: '1' };
    await streams.saveCursors([{ ...cursor, ttlMs: 1_000 }]);
    await shard.append([shard.push(0, [old], { id: 'old' })]);
    now += 12 * 3_600_000;
    await shard.append([shard.push(1, [fresh], { id: 'fresh' })]);
    await shard.trim(0);
    now += 12 * 3_600_000;
    for (let i = 0; i < 200 && rows(tables.newest) > 1; i += 1) await sleep(10);
    const { newest, ids, idEnds, cursors } = tables;
    expect([newest, ids, idEnds, cursors].map(rows)).toEqual([1, 1, 1, 0]);
    expect(await streams.newest([old, fresh])).toEqual(new Map([[fresh, 1]]));
    const again = await shard.append([
      shard.push(2, [old], { id: 'fresh' }),
      shard.push(3, [old], { id: 'old' }),
    ]);
    expect(again.repeated.map(({ id }) => id)).toEqual([shard.id('fresh')]);
    expect(again.entries).toEqual([{ stream: old, position: 3, prev: 0 }]);
  });

  test('a newest position is known beyond its day while its entry is not trimmed', async () => {
    const stream = shard.stream();
    await shard.append([shard.push(5, [stream])]);
    now += 25 * 3_600_000;
    for (let i = 0; i < 200 && rows(tables.newest) > 0; i += 1) await sleep(10);
    expect(await shard.newest(stream)).toBe(5);
    expect((await shard.append([shard.push(9, [stream])])).entries[0]).toMatchObject({ prev: 5 });
  });
});

test('streams that are not open say so', async () => {
  const streams = new EmbeddedStreams({ dataDir: tmpdir(), shards: SHARDS, log: silentLogger() });
  await expect(streams.newest(['u/1'])).rejects.toMatchObject({ code: 'store_unavailable' });
  await expect(streams.trim(0, 'e', 1)).rejects.toMatchObject({ code: 'store_unavailable' });
  expect(streams.healthy()).toBe(false);
});
