import { afterEach, beforeEach, describe, expect, test } from '@jest/globals';
import { codec, protos } from '@halley/cluster/grpc/protos';
import type { PushMsg } from '@halley/cluster/grpc/gen/goim/logic/PushMsg';
import { HalleyError } from '@halley/protocol/error';
import { Topic } from '@halley/store/bus/bus';

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
