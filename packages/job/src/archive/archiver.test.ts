import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

import { afterEach, beforeEach, describe, expect, test } from '@jest/globals';
import { HalleyError } from '@halley/protocol/error';
import type { UserId } from '@halley/protocol/ids';
import { systemClock } from '@halley/service/clock';
import { silentLogger } from '@halley/service/log';
import { Metrics } from '@halley/service/metrics';
import type { StoreBatch } from '@halley/store/archive/archive';
import { EmbeddedArchive } from '@halley/store/archive/embedded';
import { shardOf, streamOf } from '@halley/store/shard';
import { EmbeddedStreams } from '@halley/store/streams/embedded';

import { JobMetrics } from '../metrics.js';
import { until } from '../testing/rig.js';
import type { ArchiveLane } from './archive-lane.js';
import { Archiver, type ArchiveLimits } from './archiver.js';

const SHARDS = 4;
const ALL = [0, 1, 2, 3];
const EPOCH = 'e1';
/** A stream of each shard. */
const STREAMS = ALL.map((shard) => {
  let mid = 1;
  while (shardOf(streamOf.user(String(mid) as UserId), SHARDS) !== shard) mid += 1;
  return streamOf.user(String(mid) as UserId);
});

let dataDir: string;
let streams: EmbeddedStreams;
let archive: EmbeddedArchive;
let applied: number[];
let archiver: Archiver;
let lanes: ArchiveLane[];
/** The shards of each transaction. */
let calls: (readonly number[])[];
/** Rows that transactions had. */
let sizes: number[];
/** Called in front of a transaction. */
let before: (batches: readonly StoreBatch[]) => void;

beforeEach(async () => {
  dataDir = await mkdtemp(join(tmpdir(), 'halley-archiver-'));
  streams = new EmbeddedStreams({ dataDir, shards: SHARDS, log: silentLogger() });
  archive = new EmbeddedArchive({ dataDir });
  await streams.start();
  await archive.start();
  applied = ALL.map(() => -1);
  for (const shard of ALL) await streams.restore(shard, EPOCH, -1);
  [calls, sizes] = [[], []];
  before = () => undefined;
});

afterEach(async () => {
  await archiver.end();
  await archive.stop();
  await streams.stop();
  await rm(dataDir, { recursive: true });
});

/** The archiver of a node, with a lane for each shard, once it knows how far they are archived. */
async function start(limits: Partial<ArchiveLimits> = {}): Promise<void> {
  archiver = new Archiver({
    streams,
    archive: {
      watermarks: archive.watermarks.bind(archive),
      store: async (epoch, batches) => {
        before(batches);
        calls.push(batches.map(({ shard }) => shard));
        sizes.push(batches.reduce((sum, { entries }) => sum + entries.length, 0));
        return archive.store(epoch, batches);
      },
    },
    epoch: EPOCH,
    limits: { joinMs: 20, idleMs: 100, maxEntries: 1_000, ...limits },
    clock: systemClock,
    metrics: new JobMetrics(new Metrics({ process: false }), () => 0),
    log: silentLogger(),
  });
  lanes = ALL.map((shard) => archiver.lane(shard));
  await Promise.all(lanes.map((lane) => lane.flush()));
  [calls, sizes] = [[], []];
}

/** Takes so many pushes in. */
async function append(shard: number, count: number): Promise<void> {
  for (let pushed = 0; pushed < count; pushed += 1) {
    const position = applied[shard]! + 1;
    const push = {
      position,
      id: '',
      digest: '',
      operation: 1,
      body: Buffer.from(`m${position}`),
      acceptedAtMs: 1,
      expireAtMs: 0,
      traceparent: '',
      caller: '',
      targets: [{ stream: STREAMS[shard]!, keys: [] }],
    };
    const batch = { shard, epoch: EPOCH, before: applied[shard]!, through: position, pushes: [push] };
    await streams.append(batch);
    applied[shard] = position;
  }
  lanes[shard]?.appended(applied[shard]!, true);
}

const archived = async (shard: number): Promise<number[]> => {
  const query = { stream: STREAMS[shard]!, after: -1, through: 1_000, maxEntries: 1_000, maxBytes: 1e9 };
  return (await archive.read(EPOCH, query)).entries.map(({ position }) => position);
};
const upTo = (count: number) => Array.from({ length: count }, (_, index) => index);

describe('the archiver of all partitions', () => {
  test('takes what they have in one transaction, and flushes join too', async () => {
    await start({ joinMs: 60_000 });
    for (const shard of ALL) await append(shard, 3);
    await Promise.all(lanes.map((lane) => lane.flush()));
    expect(calls).toHaveLength(1);
    expect([...calls[0]!].toSorted((one, other) => one - other)).toEqual(ALL);
    for (const shard of ALL) expect(await archived(shard)).toEqual(upTo(3));
    expect(await streams.state(2, EPOCH)).toEqual({ applied: 2, trimmed: 2 });
    expect(lanes.map(({ lagMs }) => lagMs)).toEqual([0, 0, 0, 0]);
  });

  test('takes those along that wait, and not those that have nothing', async () => {
    await start({ joinMs: 60_000 });
    await append(1, 1);
    await append(3, 1);
    await lanes[1]!.flush();
    expect(lanes[3]!.watermark).toBe(0);
    expect(calls.map((call) => [...call].toSorted((one, other) => one - other))).toEqual([[1, 3]]);
  });

  test('takes no more in a transaction than it may, and all in the end', async () => {
    await start({ joinMs: 60_000, maxEntries: 8 });
    for (const [shard, count] of [30, 2, 1, 9].entries()) await append(shard, count);
    await Promise.all(lanes.map((lane) => lane.flush()));
    expect(Math.max(...sizes)).toBeLessThanOrEqual(8);
    for (const [shard, count] of [30, 2, 1, 9].entries()) expect(await archived(shard)).toEqual(upTo(count));
  });

  test('one that cannot be archived does not hold the others up, and goes on when it can', async () => {
    await start({ joinMs: 1 });
    let poisoned = true;
    before = (batches) => {
      if (poisoned && batches.some(({ shard }) => shard === 2)) throw new HalleyError('store_unavailable');
    };
    for (const shard of ALL) await append(shard, 5);
    await until(() => lanes.every(({ shard, watermark }) => shard === 2 || watermark === 4));
    await append(1, 5);
    await until(() => lanes[1]!.watermark === 9);
    expect(lanes[2]!.watermark).toBe(-1);
    expect(lanes[2]!.lagMs).toBeGreaterThan(0);
    await lanes[2]!.flush();
    poisoned = false;
    await until(() => lanes[2]!.watermark === 4);
    expect(await archived(2)).toEqual(upTo(5));
  });

  test('one that another node archived meanwhile goes on from there, and the others are stored', async () => {
    await start({ joinMs: 60_000 });
    for (const shard of ALL) await append(shard, 3);
    let other: Promise<unknown> | undefined;
    before = () => {
      const entries = upTo(2).map((position) => ({ stream: STREAMS[1]!, entry: entryOf(position) }));
      other ??= archive.store(EPOCH, [{ shard: 1, from: -1, through: 1, entries }]);
    };
    await Promise.all(lanes.map((lane) => lane.flush()));
    await other;
    expect(lanes.map(({ watermark }) => watermark)).toEqual([2, 2, 2, 2]);
    for (const shard of ALL) expect(await archived(shard)).toEqual(upTo(3));
  });

  test('a lane that ended is left alone, and one of the same partition begins where the archive is', async () => {
    await start({ joinMs: 60_000 });
    await append(0, 2);
    await lanes[0]!.end();
    await append(1, 1);
    await lanes[1]!.flush();
    expect(await archived(0)).toEqual([]);
    lanes[0] = archiver.lane(0);
    await until(() => lanes[0]!.watermark === 1);
    expect(await archived(0)).toEqual([0, 1]);
  });
});

function entryOf(position: number) {
  return {
    position,
    prev: position - 1,
    id: '',
    operation: 1,
    body: Buffer.from(`m${position}`),
    keys: [],
    acceptedAtMs: 1,
    expireAtMs: 0,
    traceparent: '',
    caller: '',
  };
}
