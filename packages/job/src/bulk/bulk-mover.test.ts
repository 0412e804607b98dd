import { afterEach, beforeEach, describe, expect, test } from '@jest/globals';
import { HalleyError } from '@halley/protocol/error';
import { RecordsTooLarge, Topic } from '@halley/store/bus/bus';
import { recordSize } from '@halley/store/bus/record-size';

import { BULK_GROUP, GROUP, Rig, until } from '../testing/rig.js';
import { Backlog } from './backlog.js';

const MANY = Number(process.env['HALLEY_BULK_PUSHES'] ?? 1_000);
const LIMITS = { maxBacklogRecords: 100, maxBacklogAgeMs: 60_000, maxPerSecond: 1_000_000, turnMs: 5 };

let rig: Rig;
beforeEach(async () => {
  rig = await Rig.open();
});
afterEach(() => rig.close());

const names = (prefix: string, count: number): string[] =>
  Array.from({ length: count }, (_, index) => `${prefix} ${index}`);
const lag = async () => (await rig.bus.lag(BULK_GROUP, Topic.Bulk)) + (await rig.bus.lag(GROUP, Topic.Push));

describe('bulk pushes', () => {
  test(`of which ${MANY} wait are overtaken by a normal one, and keep their order among themselves`, async () => {
    const bulk = names('bulk', MANY);
    await rig.pushBulk(bulk, { users: ['1'] }, MANY / 200);
    await rig.job({ bulk: { ...LIMITS, maxBacklogRecords: 20 } });
    const comet = await rig.comet('c1');
    await rig.connect('1', 'k1', comet);
    await until(() => comet.shown.length > 0);
    await rig.push('normal', { users: ['1'] });
    await until(async () => (await lag()) === 0, 20_000);
    const all: string[] = [];
    for (let after = -1; ;) {
      const { through, entries } = await rig.readStream('u/1', after);
      all.push(...entries.map(({ body }) => Buffer.from(body).toString()));
      if (entries.length === 0) break;
      after = through;
    }
    expect(all.indexOf('normal')).toBeGreaterThan(0);
    expect(all.indexOf('normal')).toBeLessThan(MANY / 2);
    expect(all.filter((text) => text !== 'normal')).toEqual(bulk);
  }, 30_000);

  test('come as fast as they are let, and are told as waiting until then', async () => {
    await rig.pushBulk(names('bulk', 30), { users: ['1'] });
    const job = await rig.job({ bulk: { ...LIMITS, maxPerSecond: 200, turnMs: 20 } });
    await until(() => job.mover!.oldestWaitingMs !== undefined);
    expect(await rig.bus.lag(BULK_GROUP, Topic.Bulk)).toBeGreaterThan(10);
    await until(async () => (await lag()) === 0);
    await until(() => job.mover!.oldestWaitingMs === undefined);
    expect(await rig.count('halley_job_bulk_moved_total')).toBe(30);
  });

  test('wait as long as the streams take nothing', async () => {
    let takes = false;
    const streams = new Proxy(rig.streams, {
      get: (target, name) => {
        if (name === 'append' && !takes) return () => Promise.reject(new HalleyError('store_full'));
        const value: unknown = Reflect.get(target, name);
        return typeof value === 'function' ? (value.bind(target) as unknown) : value;
      },
    });
    await rig.push('normal', { users: ['1'] });
    const job = await rig.job({ bulk: LIMITS, streams });
    await until(() => job.push.lanes.some(({ trouble }) => trouble === 'streams_full'));
    await rig.pushBulk(['bulk'], { users: ['1'] });
    await until(() => job.mover!.oldestWaitingMs !== undefined);
    expect(await rig.bus.lag(BULK_GROUP, Topic.Bulk)).toBe(1);
    takes = true;
    await until(async () => (await rig.streamOf('1')).length === 2);
    expect(await rig.streamOf('1')).toEqual(['normal', 'bulk']);
  });

  test('that are moved twice by jobs of which one is killed come once, kept or not', async () => {
    const comet = await rig.comet('c1');
    await rig.connect('1', 'k1', comet);
    await rig.enterRoom('r', comet);
    await rig.pushBulk(names('kept', 20), { users: ['1'] });
    await rig.pushBulk(names('live', 20), { rooms: ['r'] });
    let writes = 0;
    const first = await rig.job({
      bulk: { ...LIMITS, maxPerSecond: 2_000, turnMs: 5 },
      produce: async (topic, records) => {
        const written = await rig.bus.produce(topic, records);
        writes += 1;
        // Written, and neither the answer nor the commit gets anywhere.
        return writes === 4 ? new Promise(() => undefined) : written;
      },
    });
    await until(() => writes >= 4);
    await first.kill();
    await rig.job({ bulk: LIMITS });
    await until(async () => (await lag()) === 0);
    expect(await rig.streamOf('1')).toEqual(names('kept', 20));
    await until(() => comet.shown.filter(({ rooms }) => rooms.includes('r')).length >= 20);
    const live = comet.shown.filter(({ rooms }) => rooms.includes('r')).map(({ body }) => body.toString());
    expect(live).toEqual(names('live', 20));
  });

  test('that cannot be read are put aside, and the others go on', async () => {
    const record = rig.record('good', { users: ['1'] });
    await rig.bus.produce(Topic.Bulk, [{ ...record, value: Buffer.from([255, 1]) }, record]);
    await rig.job({ bulk: LIMITS });
    await until(async () => (await rig.streamOf('1')).length === 1);
    const [letter] = await rig.read(Topic.Dead);
    expect(letter?.headers).toMatchObject({ 'halley-topic': Topic.Bulk, 'halley-reason': 'undecodable' });
  });

  test('that are as large as a record may be go without a header; what is larger is put aside', async () => {
    const bodies = ['small', 'x'.repeat(500), 'y'.repeat(600), 'last'];
    const records = bodies.map((body) => rig.record(body, { users: ['1'] }));
    const largest = recordSize(records[1]!);
    await rig.bus.produce(Topic.Bulk, records);
    await rig.job({
      bulk: LIMITS,
      produce: async (topic, moved) => {
        if (topic === Topic.Push && moved.some((record) => recordSize(record) > largest))
          throw new RecordsTooLarge(moved.length);
        return rig.bus.produce(topic, moved);
      },
    });
    await until(async () => (await lag()) === 0);
    expect(await rig.streamOf('1')).toEqual([bodies[0], bodies[1], 'last']);
    const letters = await rig.read(Topic.Dead);
    expect(letters.map(({ headers }) => headers['halley-reason'])).toEqual(['too_large']);
    expect(await rig.count('halley_job_bulk_moved_total')).toBe(3);
  });
});

test('a backlog is what is not committed, asked for once at a time; what waits too long is more than enough', async () => {
  let now = 1_000;
  let asked = 0;
  let oldestUndoneMs: number | undefined;
  let inTrouble = false;
  const backlog = new Backlog({
    bus: {
      lags: async () => {
        asked += 1;
        if (asked === 3) throw new HalleyError('bus_unknown');
        return new Map([[0, 7]]);
      },
    },
    pushGroup: 'g',
    reads: (partition) => (partition === 0 ? { inTrouble, oldestUndoneMs } : undefined),
    maxAgeMs: 100,
    clock: { now: () => now, monotonicMs: () => now },
  });
  expect(await Promise.all([backlog.of(0), backlog.of(1)])).toEqual([7, 0]);
  expect(asked).toBe(1);
  oldestUndoneMs = now - 100;
  expect(await backlog.of(0)).toBe(7);
  oldestUndoneMs -= 1;
  expect(await backlog.of(0)).toBe(Infinity);
  oldestUndoneMs = undefined;
  inTrouble = true;
  now += 50;
  expect(await backlog.of(0)).toBe(Infinity);
  expect(asked).toBe(2);
  now += 50;
  await expect(backlog.of(0)).rejects.toMatchObject({ code: 'bus_unknown' });
  inTrouble = false;
  expect(await backlog.of(0)).toBe(7);
});
