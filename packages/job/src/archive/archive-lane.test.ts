import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';

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
import type { Position } from '@halley/store/streams/streams';

import { JobMetrics } from '../metrics.js';
import { until } from '../testing/rig.js';
import type { ArchiveLane } from './archive-lane.js';
import { Archiver, type ArchiveLimits, type ArchiverDeps } from './archiver.js';

const SHARDS = 4;
const EPOCH = 'e1';
const STREAM = streamOf.user('1' as UserId);
const SHARD = shardOf(STREAM, SHARDS);

let dataDir: string;
let streams: EmbeddedStreams;
let archive: EmbeddedArchive;
let metrics: Metrics;
let applied: Position;
const archivers: Archiver[] = [];

beforeEach(async () => {
  dataDir = await mkdtemp(join(tmpdir(), 'halley-archive-'));
  streams = new EmbeddedStreams({ dataDir, shards: SHARDS, log: silentLogger() });
  archive = new EmbeddedArchive({ dataDir });
  metrics = new Metrics({ process: false });
  await streams.start();
  await archive.start();
  await streams.restore(SHARD, EPOCH, -1);
  applied = -1;
});

afterEach(async () => {
  await Promise.all(archivers.splice(0).map((archiver) => archiver.end()));
  await archive.stop();
  await streams.stop();
  await rm(dataDir, { recursive: true });
});

/** Takes a push in, or as many positions without any, and tells the lane. */
async function append(lane: ArchiveLane | undefined, text: string | undefined): Promise<void> {
  const position = applied + 1;
  const push = {
    position,
    id: '',
    digest: '',
    operation: 1,
    body: Buffer.from(text ?? ''),
    acceptedAtMs: Date.now(),
    expireAtMs: 0,
    traceparent: '',
    caller: '',
    targets: [{ stream: STREAM, keys: [] }],
  };
  const pushes = text === undefined ? [] : [push];
  await streams.append({ shard: SHARD, epoch: EPOCH, before: applied, through: position, pushes });
  applied = position;
  lane?.appended(position, text !== undefined);
}

function archiveLane(deps: Partial<ArchiverDeps> = {}, limits: Partial<ArchiveLimits> = {}): ArchiveLane {
  return archiverOf(deps, limits).lane(SHARD);
}

function archiverOf(deps: Partial<ArchiverDeps> = {}, limits: Partial<ArchiveLimits> = {}): Archiver {
  const archiver = new Archiver({
    streams,
    archive,
    epoch: EPOCH,
    limits: { joinMs: 20, idleMs: 100, maxEntries: 1_000, ...limits },
    clock: systemClock,
    metrics: new JobMetrics(metrics, () => 0),
    log: silentLogger(),
    ...deps,
  });
  archivers.push(archiver);
  return archiver;
}

/** An archive that writes down what it is given, after `before` let it. */
function watched(before: (batches: readonly StoreBatch[]) => void = () => undefined) {
  const stored: StoreBatch[] = [];
  const calls: (readonly number[])[] = [];
  const watermarks = archive.watermarks.bind(archive);
  const store = async (epoch: string, batches: readonly StoreBatch[]) => {
    before(batches);
    const done = await archive.store(epoch, batches);
    calls.push(batches.map(({ shard }) => shard));
    stored.push(...batches.filter((_, index) => done[index]));
    return done;
  };
  return { stored, calls, archive: { watermarks, store } };
}

const archived = async (): Promise<string[]> => {
  const query = { stream: STREAM, after: -1, through: 1_000_000, maxEntries: 1_000, maxBytes: 1_000_000 };
  return (await archive.read(EPOCH, query)).entries.map(({ body }) => Buffer.from(body).toString());
};
const texts = (count: number) => Array.from({ length: count }, (_, index) => `m${index}`);
const failures = async () =>
  (await metrics.registry.getSingleMetric('halley_job_archive_failures_total')?.get())?.values[0]?.value ?? 0;

describe('what the streams hold goes to the archive', () => {
  test('in order, joined when it comes together, and the streams let go of it then', async () => {
    const { stored, archive: to } = watched();
    const lane = archiveLane({ archive: to }, { joinMs: 500 });
    await until(() => lane.watermark === -1);
    for (const text of texts(20)) await append(lane, text);
    expect(lane.lagMs).toBeGreaterThan(0);
    await until(() => lane.watermark === 19);
    expect(await archived()).toEqual(texts(20));
    expect(stored.length).toBeLessThan(4);
    await until(async () => (await streams.state(SHARD, EPOCH))?.trimmed === 19);
    await until(() => lane.lagMs === 0);
  });

  test('in pages, without a row twice or left out', async () => {
    for (const text of texts(25)) await append(undefined, text);
    const { stored, archive: to } = watched();
    const lane = archiveLane({ archive: to }, { maxEntries: 10 });
    lane.appended(applied, true);
    await until(() => lane.watermark === 24);
    expect(stored.map(({ from, through }) => [from, through])).toEqual([
      [-1, 9],
      [9, 19],
      [19, 24],
    ]);
    expect(await archived()).toEqual(texts(25));
  });

  test('what an earlier job left behind is archived without being told of it', async () => {
    for (const text of texts(3)) await append(undefined, text);
    const lane = archiveLane();
    await until(() => lane.watermark === 2);
    expect(await archived()).toEqual(texts(3));
  });

  test('the watermark follows what needs no archive, but seldom', async () => {
    const { stored, archive: to } = watched();
    const lane = archiveLane({ archive: to }, { idleMs: 150 });
    await until(() => lane.watermark === -1);
    const since = performance.now();
    while (performance.now() - since < 500) {
      await append(lane, undefined);
      await sleep(5);
    }
    await until(() => lane.watermark === applied);
    expect(stored.length).toBeGreaterThan(1);
    expect(stored.length).toBeLessThan(6);
    await until(() => lane.lagMs === 0);
  });

  test('a flush does not wait for more to come', async () => {
    const lane = archiveLane({}, { joinMs: 60_000, idleMs: 60_000 });
    await until(() => lane.watermark === -1);
    await append(lane, 'm0');
    await lane.flush();
    expect(lane.watermark).toBe(0);
    await append(lane, undefined);
    await Promise.all([lane.flush(), lane.flush()]);
    expect(lane.watermark).toBe(1);
  });

  test('of two nodes that archive one partition neither writes a row twice or loses one', async () => {
    const both = [
      archiveLane({}, { maxEntries: 3, joinMs: 1 }),
      archiveLane({}, { maxEntries: 3, joinMs: 1 }),
    ];
    for (const text of texts(100)) {
      await append(both[0], text);
      both[1]!.appended(applied, true);
    }
    await until(() => both.every(({ watermark }) => watermark === 99));
    expect(await archived()).toEqual(texts(100));
    expect(await failures()).toBe(0);
  });

  test('while the database is away it tries again, the streams keep all, and a flush does not wait', async () => {
    let away = true;
    const { archive: to } = watched(() => {
      if (away) throw new HalleyError('store_unavailable');
    });
    const lane = archiveLane({ archive: to });
    for (const text of texts(3)) await append(lane, text);
    await until(async () => (await failures()) >= 2);
    await lane.flush();
    expect(lane.watermark).toBe(-1);
    expect(await streams.state(SHARD, EPOCH)).toEqual({ applied: 2, trimmed: -1 });
    expect(lane.lagMs).toBeGreaterThan(0);
    away = false;
    await until(() => lane.watermark === 2);
    expect(await archived()).toEqual(texts(3));
    await until(() => lane.lagMs === 0);
  });

  test('a write that was carried out and not answered is not repeated', async () => {
    const store = archive.store.bind(archive);
    let lost = 0;
    const to = {
      watermarks: archive.watermarks.bind(archive),
      store: async (epoch: string, batches: readonly StoreBatch[]) => {
        const done = await store(epoch, batches);
        if (lost > 0) return done;
        lost += 1;
        throw new HalleyError('store_unavailable');
      },
    };
    const lane = archiveLane({ archive: to });
    for (const text of texts(3)) await append(lane, text);
    await until(() => lane.watermark === 2);
    expect(await archived()).toEqual(texts(3));
    await until(async () => (await streams.state(SHARD, EPOCH))?.trimmed === 2);
  });

  test('streams that know nothing, or less than is archived, are left to whoever reads the partition', async () => {
    const lane = archiveLane();
    for (const text of texts(3)) await append(lane, text);
    await until(() => lane.watermark === 2);
    await streams.restore(SHARD, 'another epoch', 0);
    lane.appended(7, true);
    await sleep(100);
    expect(lane.watermark).toBe(2);
    await streams.restore(SHARD, EPOCH, 0);
    applied = 0;
    for (const text of ['m1', 'm2', 'm3']) await append(lane, text);
    await until(() => lane.watermark === 3);
    expect(await archived()).toEqual(texts(4));
    expect(await streams.state(SHARD, EPOCH)).toMatchObject({ applied: 3 });
    expect(await failures()).toBe(0);
  });
});
