import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

import { afterEach, beforeEach, describe, expect, test } from '@jest/globals';
import { HalleyError } from '@halley/protocol/error';
import type { UserId } from '@halley/protocol/ids';
import { systemClock } from '@halley/service/clock';
import { silentLogger } from '@halley/service/log';
import { Metrics } from '@halley/service/metrics';
import { EmbeddedArchive } from '@halley/store/archive/embedded';
import { shardOf, streamOf } from '@halley/store/shard';
import { EmbeddedStreams } from '@halley/store/streams/embedded';
import type { AppendBatch, Position, Streams } from '@halley/store/streams/streams';

import { JobMetrics } from '../metrics.js';
import { until } from '../testing/rig.js';
import { Appender } from './appender.js';
import { nextChunk, type Item } from './chunk.js';
import { LaneEnded, Ownership } from './ownership.js';
import { recordCodec } from './push-record.js';

const SHARDS = 4;
const EPOCH = 'e1';
const MID = '1' as UserId;
const STREAM = streamOf.user(MID);
const SHARD = shardOf(STREAM, SHARDS);
const END = (offset: number): Position => (offset + 1) * 1_024 - 1;

let dataDir: string;
let streams: EmbeddedStreams;
let archive: EmbeddedArchive;
let metrics: Metrics;

beforeEach(async () => {
  dataDir = await mkdtemp(join(tmpdir(), 'halley-appender-'));
  streams = new EmbeddedStreams({ dataDir, shards: SHARDS, log: silentLogger() });
  archive = new EmbeddedArchive({ dataDir });
  metrics = new Metrics({ process: false });
  await streams.start();
  await archive.start();
});

afterEach(async () => {
  await archive.stop();
  await streams.stop();
  await rm(dataDir, { recursive: true });
});

/** A chunk of records with one push each, from an offset on. */
const chunk = (offset: number, count = 1, fields: object = {}): Item[] =>
  nextChunk(
    Array.from({ length: count }, (_, index) => {
      const id = `m${offset + index}`;
      const push = { id, users: [MID], body: Buffer.from(id), accepted_at_ms: Date.now(), ...fields };
      const value = recordCodec.encode({ pushes: [push] });
      return { offset: offset + index, key: undefined, value, headers: {}, timestampMs: 1 };
    }),
    { partition: SHARD, shards: SHARDS },
  );

/** An appender, and what it told its lane. */
function setup(store: Pick<Streams, 'append' | 'restore' | 'state'> = streams) {
  const own = new Ownership('halley-push', SHARD);
  const seeks: number[] = [];
  const appended: [Position, boolean][] = [];
  let archived: Position | undefined;
  const appender = new Appender(
    own,
    {
      seek: (offset) => seeks.push(offset),
      onAppended: (through, durable) => appended.push([through, durable]),
      archived: () => archived,
    },
    {
      streams: store,
      archive,
      epoch: EPOCH,
      shards: SHARDS,
      clock: systemClock,
      metrics: new JobMetrics(metrics, () => 0),
      log: silentLogger(),
    },
  );
  const kinds = async (items: Item[]) => {
    const taken = await appender.take(items);
    return taken && [...taken.fates.values()].map(({ kind }) => kind);
  };
  const setArchived = (position: Position) => (archived = position);
  return { own, appender, seeks, appended, kinds, setArchived };
}

/** The shard as after a loss: everything above `position` is gone. */
async function loseAbove(position: Position): Promise<void> {
  await streams.restore(SHARD, 'another epoch', 0);
  await streams.restore(SHARD, EPOCH, position);
}

const texts = async (): Promise<string[]> => {
  const query = { stream: STREAM, after: -1, maxEntries: 100, maxBytes: 1_000_000 };
  const [page] = await streams.read(EPOCH, [query]);
  return (page?.entries ?? []).map(({ body }) => Buffer.from(body).toString());
};
const count = async (name: string, labels: Record<string, string>): Promise<number | undefined> => {
  const metric = await metrics.registry.getSingleMetric(name)?.get();
  return metric?.values.find((value) => Object.entries(labels).every(([k, v]) => value.labels[k] === v))
    ?.value;
};

describe('taking records into their streams', () => {
  test('each batch follows the one before, whatever it holds', async () => {
    await streams.restore(SHARD, EPOCH, -1);
    const { kinds, appended, appender } = setup();
    expect(await kinds(chunk(0, 2))).toEqual(['entry', 'entry']);
    expect(await kinds(chunk(2, 1, { users: [], rooms: ['live://1'] }))).toEqual([]);
    // The bus may have no records in between.
    expect(await kinds(chunk(9))).toEqual(['entry']);
    expect(appended).toEqual([
      [END(1), true],
      [END(2), false],
      [END(9), true],
    ]);
    expect(appender.next).toBe(10);
    expect(await texts()).toEqual(['m0', 'm1', 'm9']);
  });

  test('a batch whose answer was lost is repeated as it is: it is there once', async () => {
    await streams.restore(SHARD, EPOCH, -1);
    const batches: AppendBatch[] = [];
    const { kinds, appender } = setup({
      append: async (batch) => {
        batches.push(batch);
        const answer = await streams.append(batch);
        if (batches.length <= 2) throw new HalleyError('store_unavailable');
        return answer;
      },
      restore: async () => Promise.reject(new Error('not asked for')),
      state: async () => undefined,
    });
    expect(await kinds(chunk(0, 2))).toEqual(['known', 'known']);
    expect(batches).toHaveLength(3);
    expect(batches[1]).toEqual(batches[0]);
    expect(batches[2]).toEqual(batches[0]);
    expect(await texts()).toEqual(['m0', 'm1']);
    expect(appender.trouble).toBeUndefined();
    const failures = await count('halley_job_append_failures_total', { code: 'store_unavailable' });
    expect(failures).toBe(2);
  });

  test('a full store is waited for, and named', async () => {
    await streams.restore(SHARD, EPOCH, -1);
    let full = true;
    const { kinds, appender } = setup({
      append: async (batch) => {
        if (full) throw new HalleyError('store_full');
        return streams.append(batch);
      },
      restore: streams.restore.bind(streams),
      state: streams.state.bind(streams),
    });
    const taken = kinds(chunk(0));
    await until(() => appender.trouble === 'streams_full');
    full = false;
    expect(await taken).toEqual(['entry']);
    expect(appender.trouble).toBeUndefined();
  });

  test('an id that comes again is dropped, and one that comes with another content is told', async () => {
    await streams.restore(SHARD, EPOCH, -1);
    const { kinds } = setup();
    await kinds(chunk(0, 1, { id: 'one', body: Buffer.from('a') }));
    expect(await kinds(chunk(1, 1, { id: 'one', body: Buffer.from('a') }))).toEqual(['repeated']);
    expect(await kinds(chunk(2, 1, { id: 'one', body: Buffer.from('b') }))).toEqual(['repeated']);
    expect(await texts()).toEqual(['a']);
    expect(await count('halley_job_appended_total', { result: 'entry' })).toBe(1);
    expect(await count('halley_job_appended_total', { result: 'repeated' })).toBe(1);
    expect(await count('halley_job_appended_total', { result: 'conflict' })).toBe(1);
  });

  test('a job that reads again what another one took in says so', async () => {
    await streams.restore(SHARD, EPOCH, -1);
    await setup().kinds(chunk(0, 3));
    const { kinds, appended } = setup();
    expect(await kinds(chunk(1, 4))).toEqual(['entry', 'entry', 'known', 'known']);
    expect(appended).toEqual([[END(4), true]]);
    expect(await texts()).toEqual(['m0', 'm1', 'm2', 'm3', 'm4']);
  });

  test('streams that know nothing begin again where the archive ends, and the partition is read from there', async () => {
    await archive.store(EPOCH, [{ shard: SHARD, from: -1, through: END(4), entries: [] }]);
    const { kinds, seeks, appender } = setup();
    expect(await kinds(chunk(7))).toBeUndefined();
    expect(seeks).toEqual([5]);
    expect(appender.rewinds).toBe(1);
    expect(await streams.state(SHARD, EPOCH)).toEqual({ applied: END(4), trimmed: END(4) });
    expect(await kinds(chunk(5, 3))).toEqual(['entry', 'entry', 'entry']);
    expect(await count('halley_job_rewinds_total', { why: 'empty' })).toBe(1);
  });

  test('a record of which the archive has a part is read again as a whole', async () => {
    await archive.store(EPOCH, [{ shard: SHARD, from: -1, through: END(4) + 1, entries: [] }]);
    const { kinds, seeks } = setup();
    expect(await kinds(chunk(7))).toBeUndefined();
    expect(seeks).toEqual([5]);
    expect(await kinds(chunk(5, 2))).toEqual(['entry', 'known']);
  });

  test('while the archive is away, streams that know nothing wait', async () => {
    const { kinds, appender, seeks } = setup();
    await archive.stop();
    const taken = kinds(chunk(3));
    await until(() => appender.trouble === 'archive');
    await archive.start();
    expect(await taken).toBeUndefined();
    expect(seeks).toEqual([0]);
  });

  test('streams that fell behind what was read get it again, and nothing is missing', async () => {
    await streams.restore(SHARD, EPOCH, -1);
    const { kinds, seeks } = setup();
    await kinds(chunk(0, 6));
    await loseAbove(END(1));
    expect(await kinds(chunk(6))).toBeUndefined();
    expect(seeks).toEqual([2]);
    expect(await kinds(chunk(2, 5))).toHaveLength(5);
    expect(await texts()).toEqual(['m2', 'm3', 'm4', 'm5', 'm6']);
    expect(await count('halley_job_rewinds_total', { why: 'behind' })).toBe(1);
  });

  test('a partition whose records are gone from the bus does not turn in circles', async () => {
    await streams.restore(SHARD, EPOCH, END(1));
    const { kinds, seeks } = setup();
    expect(await kinds(chunk(5))).toBeUndefined();
    expect(seeks).toEqual([2]);
    expect(await kinds(chunk(5))).toEqual(['entry']);
  });

  test('a job that lost the partition while it waited, or while it was asleep, hints nothing', async () => {
    await streams.restore(SHARD, EPOCH, -1);
    let answered: (() => void) | undefined;
    const { own, appender } = setup({
      append: async (batch) => {
        const answer = await streams.append(batch);
        await new Promise<void>((resolve) => (answered = resolve));
        return answer;
      },
      restore: streams.restore.bind(streams),
      state: streams.state.bind(streams),
    });
    const taken = appender.take(chunk(0));
    await until(() => answered !== undefined);
    own.end();
    answered?.();
    await expect(taken).rejects.toThrow(LaneEnded);
    expect(await setup().kinds(chunk(0))).toEqual(['known']);
  });
});

describe('looking after a partition that nothing comes from', () => {
  test('streams that were emptied are begun again', async () => {
    await archive.store(EPOCH, [{ shard: SHARD, from: -1, through: END(2), entries: [] }]);
    const { appender, seeks } = setup();
    await appender.probe(0);
    expect(seeks).toEqual([3]);
    expect(await streams.state(SHARD, EPOCH)).toEqual({ applied: END(2), trimmed: END(2) });
  });

  test('streams that fell behind what was read, or what is archived, get it again', async () => {
    await streams.restore(SHARD, EPOCH, -1);
    const reader = setup();
    await reader.kinds(chunk(0, 6));
    await loseAbove(END(1));
    await reader.appender.probe(0);
    expect(reader.seeks).toEqual([2]);

    const fresh = setup();
    await fresh.appender.probe(0);
    expect(fresh.seeks).toEqual([]);
    fresh.setArchived(END(3));
    await fresh.appender.probe(0);
    expect(fresh.seeks).toEqual([2]);
  });

  test('they are left alone while they have everything, answered lately, or cannot be asked', async () => {
    await streams.restore(SHARD, EPOCH, -1);
    let asked = 0;
    const { appender, kinds, seeks } = setup({
      append: streams.append.bind(streams),
      restore: streams.restore.bind(streams),
      state: async (...args) => {
        asked += 1;
        if (asked === 1) throw new HalleyError('store_unavailable');
        return streams.state(...args);
      },
    });
    await kinds(chunk(0));
    await appender.probe(60_000);
    expect(asked).toBe(0);
    await appender.probe(0);
    await appender.probe(0);
    expect(asked).toBe(2);
    expect(seeks).toEqual([]);
  });
});
