import { afterEach, beforeEach, describe, expect, test } from '@jest/globals';
import { codec, protos } from '@halley/cluster/grpc/protos';
import type { PushMsg } from '@halley/cluster/grpc/gen/goim/logic/PushMsg';
import { HalleyError } from '@halley/protocol/error';
import { type BusRecord, RecordsTooLarge, Topic } from '@halley/store/bus/bus';
import { pino } from 'pino';

import type { FakeComet } from '../testing/fake-comet.js';
import { GROUP, INGRESS_GROUP, Rig, until } from '../testing/rig.js';
import { decodePushes } from './push-record.js';

const pushMsg = codec(protos.goim.logic.PushMsg);

let rig: Rig;

beforeEach(async () => {
  rig = await Rig.open();
});

afterEach(async () => {
  await rig.close();
});

/** Writes messages as goim's producers do, in one partition, in order. */
async function goim(messages: readonly (PushMsg | Buffer)[], partition = 1): Promise<void> {
  await rig.bus.produce(
    Topic.GoimPush,
    messages.map((message) => ({
      partition,
      key: 'k',
      value: Buffer.isBuffer(message) ? message : pushMsg.encode(message),
    })),
  );
}

const toKeys = (keys: string[], body: string): PushMsg => ({
  type: 'PUSH',
  operation: 1_000,
  server: 'gone',
  keys,
  msg: Buffer.from(body),
});
const toRoom = (room: string, body: string): PushMsg => ({
  type: 'ROOM',
  operation: 1_001,
  room,
  msg: Buffer.from(body),
});
const shownTo = (comet: FakeComet, key: string) =>
  comet.shown.filter(({ keys }) => keys.includes(key)).map(({ body }) => body.toString());
/** As a bus that refuses a batch with a record above this in it; `writes` has how many records came at once. */
function smallBus(maxBytes: number, writes: number[]) {
  return async (topic: string, records: readonly BusRecord[]) => {
    if (topic === Topic.Push) {
      writes.push(records.length);
      if (records.some(({ value }) => value.byteLength > maxBytes)) {
        const cause = new RecordsTooLarge(records.length);
        // What else was in the call may have been written.
        throw records.length > 1 ? new HalleyError('bus_unknown', undefined, { cause }) : cause;
      }
    }
    return rig.bus.produce(topic, records);
  };
}
const lag = async () =>
  (await rig.bus.lag(INGRESS_GROUP, Topic.GoimPush)) + (await rig.bus.lag(GROUP, Topic.Push));

describe("goim's topic", () => {
  test('keys, rooms and broadcasts are delivered to the connections of now, in order, under goim ids', async () => {
    const comet = await rig.comet('c1');
    await rig.connect('1', 'a', comet);
    await rig.connect('2', 'b', comet);
    await rig.enterRoom('live://1', comet);
    await rig.job({ ingress: true });
    const messages: PushMsg[] = [];
    for (let count = 0; count < 100; count += 1) {
      messages.push(toKeys(['a'], `a${count}`), toRoom('live://1', `r${count}`));
    }
    await goim(messages);
    await goim([toKeys(['a', 'b'], 'both')]);
    await goim([{ type: 'BROADCAST', operation: 1_002, speed: 64, msg: Buffer.from('all') }]);
    await until(async () => (await lag()) === 0);
    const shown = (wanted: (had: (typeof comet.shown)[number]) => boolean) =>
      comet.shown.filter(wanted).map(({ body }) => body.toString());
    expect(shown(({ keys }) => keys.includes('a'))).toEqual([
      ...Array.from({ length: 100 }, (_, count) => `a${count}`),
      'both',
    ]);
    expect(shown(({ keys }) => keys.includes('b'))).toEqual(['both']);
    expect(shown(({ rooms }) => rooms.includes('live://1'))).toEqual(
      Array.from({ length: 100 }, (_, count) => `r${count}`),
    );
    expect(comet.shown.find(({ body }) => body.toString() === 'r0')).toMatchObject({
      id: 'goim:1:1',
      operation: 1_001,
    });
    expect(comet.shown.find(({ everyone }) => everyone)).toMatchObject({ operation: 1_002, speed: 64 });
  });

  test('a room that a pattern names is durable', async () => {
    const comet = await rig.comet('c1');
    await rig.joinRoom('chat://1', 'a', comet);
    await rig.enterRoom('live://1', comet);
    await rig.job({ ingress: true, durableRooms: ['chat://*'] });
    await goim([toRoom('chat://1', 'kept'), toRoom('live://1', 'dropped'), toRoom('chat://1', 'kept too')]);
    await until(() => comet.shown.length === 3);
    expect(shownTo(comet, 'a')).toEqual(['kept', 'kept too']);
    expect(await rig.textsOf('r/chat://1')).toEqual(['kept', 'kept too']);
    expect(await rig.textsOf('r/live://1')).toEqual([]);
  });

  test("a broadcast's speed is the cluster's, and is shared by the comets", async () => {
    await rig.comet('c1');
    const comet = await rig.comet('c2');
    await rig.job({ ingress: true });
    await goim([{ type: 'BROADCAST', operation: 1, speed: 9, msg: Buffer.from('all') }]);
    await until(() => comet.shown.length === 1);
    expect(comet.shown[0]?.speed).toBe(4);
  });

  test('a push to a key goes to the partition of its user, of an anonymous or unknown key to its own', async () => {
    const comet = await rig.comet('c1');
    await rig.connect('7', 'a', comet);
    await rig.connect('0', 'anonymous', comet);
    await rig.job({ ingress: true });
    await goim([toKeys(['a', 'anonymous', 'unknown'], 'x')]);
    await until(async () => (await lag()) === 0);
    const keys = (await rig.read(Topic.Push)).flatMap(({ value }) => decodePushes(value)[0]?.keys ?? []);
    expect(keys.toSorted()).toEqual(['a', 'anonymous', 'unknown']);
    const partitionOf = (key: string) =>
      Number(comet.shown.find(({ keys }) => keys.includes(key))?.lane.split('/')[1]);
    expect(partitionOf('a')).toBe(rig.record('', { users: ['7'] }).partition);
    expect(partitionOf('anonymous')).toBe(rig.record('', { keys: ['anonymous'] }).partition);
    // By its source, comet finds a second copy that another job wrote.
    expect(new Set(comet.shown.map(({ source }) => source)).size).toBe(1);
    expect(comet.shown[0]?.source).toMatch(/^\d+:\d+:\d+$/);
  });

  test('a write that is not answered is repeated, not skipped, and what it doubles is shown once', async () => {
    const comet = await rig.comet('c1');
    await rig.connect('1', 'a', comet);
    let writes = 0;
    await rig.job({
      ingress: true,
      produce: async (topic, records) => {
        writes += 1;
        if (writes === 2) throw new HalleyError('bus_refused');
        const written = await rig.bus.produce(topic, records);
        if (writes === 1) throw new HalleyError('bus_unknown');
        return written;
      },
    });
    await goim(Array.from({ length: 30 }, (_, count) => toKeys(['a'], `a${count}`)));
    await until(async () => (await lag()) === 0);
    expect(writes).toBe(3);
    expect(comet.texts).toEqual(Array.from({ length: 30 }, (_, count) => `a${count}`));
    expect(await rig.count('halley_job_ingress_repeats_total')).toBe(30);
  });

  test('nothing is committed before it is in halley-push; a job that takes over goes on from there', async () => {
    const comet = await rig.comet('c1');
    await rig.connect('1', 'a', comet);
    let asked = 0;
    const first = await rig.job({
      ingress: true,
      produce: () => {
        asked += 1;
        return new Promise(() => undefined);
      },
    });
    await goim([toKeys(['a'], 'one'), toKeys(['a'], 'two')]);
    await until(() => asked === 1);
    expect(await rig.bus.lag(INGRESS_GROUP, Topic.GoimPush)).toBe(2);
    await first.kill();
    await rig.job({ ingress: true });
    await until(async () => (await lag()) === 0);
    expect(comet.texts).toEqual(['one', 'two']);
  });

  test('what is no message of goim, or has no target, is put aside and the rest goes on', async () => {
    const comet = await rig.comet('c1');
    await rig.connect('1', 'a', comet);
    await rig.job({ ingress: true });
    await goim([
      toKeys(['a'], 'before'),
      Buffer.from([0xff, 0x07, 0x80]),
      Buffer.alloc(0),
      toRoom('', 'no room'),
      Buffer.from([0x08, 0x09]),
      toKeys(['a'], 'after'),
    ]);
    await until(async () => (await lag()) === 0);
    expect(comet.texts).toEqual(['before', 'after']);
    const dead = await rig.read(Topic.Dead);
    expect(dead.map(({ headers }) => headers['halley-reason'])).toEqual([
      'undecodable',
      'no_target',
      'no_target',
      'unknown_type',
    ]);
    expect(dead[0]?.headers['halley-topic']).toBe(Topic.GoimPush);
  });

  test('a message that would be larger in halley-push than the bus takes is put aside, and the rest goes on', async () => {
    const comet = await rig.comet('c1');
    await rig.connect('1', 'a', comet);
    await rig.job({ ingress: true, maxRecordBytes: 2_000 });
    await goim([
      toKeys(['a'], 'before'),
      toKeys(['a'], 'x'.repeat(2_000)),
      toRoom('live://1', 'y'.repeat(2_000)),
      toKeys(['a'], 'z'.repeat(1_500)),
      toKeys(['a'], 'after'),
    ]);
    await until(async () => (await lag()) === 0);
    expect(comet.texts).toEqual(['before', 'z'.repeat(1_500), 'after']);
    const dead = await rig.read(Topic.Dead);
    expect(dead.map(({ headers }) => [headers['halley-reason'], headers['halley-offset']])).toEqual([
      ['too_large', '1'],
      ['too_large', '2'],
    ]);
    expect(pushMsg.decode(dead[0]?.value ?? Buffer.alloc(0)).msg.toString()).toBe('x'.repeat(2_000));
    expect(await rig.count('halley_job_dead_letters_total', { reason: 'too_large' })).toBe(2);
  });

  test('so is one that only the bus finds too large, and nothing that was written together with it', async () => {
    const comet = await rig.comet('c1');
    await rig.connect('1', 'a', comet);
    await rig.enterRoom('live://1', comet);
    const writes: number[] = [];
    await rig.job({ ingress: true, produce: smallBus(500, writes) });
    const large = 'x'.repeat(600);
    await goim([
      toKeys(['a'], 'before'),
      toKeys(['a', 'elsewhere', 'far', 'away'], large),
      toKeys(['a'], 'between'),
      toRoom('live://1', large),
      toRoom('live://1', 'room'),
      toKeys(['a'], 'after'),
    ]);
    await until(async () => (await lag()) === 0);
    expect(shownTo(comet, 'a')).toEqual(['before', 'between', 'after']);
    expect(comet.shown.filter(({ rooms }) => rooms.length > 0).map(({ body }) => body.toString())).toEqual([
      'room',
    ]);
    const dead = await rig.read(Topic.Dead);
    // Once each, of how ever many partitions.
    expect(dead.map(({ headers }) => headers['halley-offset'])).toEqual(['1', '3']);
    expect(dead.map(({ headers }) => headers['halley-reason'])).toEqual(['too_large', 'too_large']);
    expect(writes.filter((count) => count > 1)).toHaveLength(1);
  });

  test('one that was refused together with the records of others is not taken for too large', async () => {
    const comet = await rig.comet('c1');
    await rig.connect('1', 'a', comet);
    let refusals = 0;
    await rig.job({
      ingress: true,
      produce: async (topic, records) => {
        if (topic === Topic.Push && (refusals += 1) <= 3) throw new RecordsTooLarge(2);
        return rig.bus.produce(topic, records);
      },
    });
    await goim([toKeys(['a'], 'one')]);
    await until(async () => (await lag()) === 0);
    expect(comet.texts).toEqual(['one']);
    expect(await rig.read(Topic.Dead)).toEqual([]);
  });

  test('a letter that the bus finds too large is written without what it holds', async () => {
    await rig.job({
      ingress: true,
      produce: async (topic, records) => {
        if (records.some(({ key, value }) => key.length + value.byteLength > 500))
          throw new RecordsTooLarge(1);
        return rig.bus.produce(topic, records);
      },
    });
    const value = Buffer.alloc(600, 0xff);
    await rig.bus.produce(Topic.GoimPush, [
      { partition: 1, key: 'k', value, headers: { by: 'somebody' } },
      { partition: 1, key: 'k'.repeat(600), value: Buffer.from([0xff]) },
    ]);
    await until(async () => (await lag()) === 0);
    const dead = await rig.read(Topic.Dead);
    expect(dead.map((letter) => letter.value.byteLength)).toEqual([0, 0]);
    expect(dead[0]?.headers).toMatchObject({
      'halley-topic': Topic.GoimPush,
      'halley-partition': '1',
      'halley-offset': '0',
      'halley-reason': 'undecodable',
      'halley-cut-from-bytes': '600',
    });
    expect(dead[0]?.headers).not.toHaveProperty('by');
  });

  test('a body that goes to many partitions is written in runs that the queue to the bus takes', async () => {
    const comet = await rig.comet('c1');
    const keys = ['1', '2', '3', '4', '5', '6', '7', '8'];
    for (const mid of keys) await rig.connect(mid, `k${mid}`, comet);
    const runs: number[] = [];
    await rig.job({
      ingress: true,
      maxRecordBytes: 2_000,
      produce: async (topic, records) => {
        runs.push(records.reduce((sum, { value }) => sum + value.byteLength, 0));
        return rig.bus.produce(topic, records);
      },
    });
    await goim(
      Array.from({ length: 5 }, (_, at) =>
        toKeys(
          keys.map((mid) => `k${mid}`),
          `${at}${'x'.repeat(900)}`,
        ),
      ),
    );
    await until(async () => (await lag()) === 0);
    for (const mid of keys)
      expect(shownTo(comet, `k${mid}`).map((text) => text[0])).toEqual(['0', '1', '2', '3', '4']);
    expect(runs.length).toBeGreaterThan(5);
    expect(Math.max(...runs)).toBeLessThanOrEqual(2_000);
  });

  test('the log is told where a bad record stood and why, and never what it holds; nor is the header', async () => {
    const lines: string[] = [];
    const log = pino({ level: 'trace' }, { write: (line: string) => void lines.push(line) });
    await rig.job({ ingress: true, maxRecordBytes: 2_000, log });
    const secret = 'a secret of a user';
    const bad = [
      Buffer.from(secret),
      Buffer.concat([Buffer.from([0x0a, 0x7f]), Buffer.from(secret)]),
      Buffer.concat([
        Buffer.from([0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff]),
        Buffer.from(secret),
      ]),
      pushMsg.encode(toKeys([], secret)),
      pushMsg.encode(toKeys(['a'], secret.repeat(200))),
    ];
    await goim(bad);
    await rig.bus.produce(Topic.Push, [{ partition: 2, key: 'k', value: Buffer.from(secret) }]);
    await until(async () => (await lag()) === 0);
    const dead = await rig.read(Topic.Dead);
    expect(dead).toHaveLength(bad.length + 1);
    const told = lines
      .filter((line) => line.includes('halley-dead'))
      .map((line) => JSON.parse(line) as object);
    expect(told).toHaveLength(bad.length + 1);
    expect(told).toContainEqual({
      level: 40,
      time: expect.any(Number),
      pid: expect.any(Number),
      hostname: expect.any(String),
      topic: Topic.GoimPush,
      partition: 1,
      offset: 0,
      keyBytes: 1,
      valueBytes: secret.length,
      reason: 'undecodable',
      msg: 'record put aside in halley-dead',
    });
    const text = [lines, dead.map(({ headers }) => headers)].map((all) => JSON.stringify(all)).join();
    const bytes = Buffer.from(secret);
    for (const form of [secret, bytes.toString('hex'), bytes.toString('base64'), bytes.join(',')])
      expect(text).not.toContain(form.slice(0, 12));
    expect(text).not.toContain('"records"');
  });

  test('while owners cannot be read the batch waits', async () => {
    const comet = await rig.comet('c1');
    await rig.connect('1', 'a', comet);
    const owners = rig.routes.owners.bind(rig.routes);
    let failures = 0;
    rig.routes.owners = async (keys) => {
      failures += 1;
      if (failures < 3) throw new HalleyError('store_unavailable');
      return owners(keys);
    };
    await rig.job({ ingress: true });
    await goim([toKeys(['a'], 'one')]);
    await until(() => comet.shown.length === 1);
    expect(failures).toBe(3);
  });
});
