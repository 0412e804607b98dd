import { afterEach, beforeEach, describe, expect, test } from '@jest/globals';
import { Topic } from '@halley/store/bus/bus';
import { shardOf } from '@halley/store/shard';

import type { FakeComet } from '../testing/fake-comet.js';
import { GROUP, PARTITIONS, Rig, until } from '../testing/rig.js';

let rig: Rig;

beforeEach(async () => {
  rig = await Rig.open();
});

afterEach(async () => {
  await rig.close();
});

const room = 'chat://1';
const stream = `r/${room}`;
const toRoom = { rooms: [room], class: 'CLASS_DURABLE' } as const;
const committed = async () => (await rig.bus.lag(GROUP, Topic.Push)) === 0;
const texts = (from: number, to: number) =>
  Array.from({ length: to - from }, (_, index) => `m${from + index}`);
const shownTo = (comet: FakeComet, key: string) =>
  comet.shown.filter(({ keys }) => keys.includes(key)).map(({ body }) => body.toString());

describe('a durable room', () => {
  test('is a stream: its comets are told of entries, each with what stands before it, and nobody else is', async () => {
    const [one, two, other] = [await rig.comet('c1'), await rig.comet('c2'), await rig.comet('c3')];
    await rig.joinRoom(room, 'a', one);
    await rig.joinRoom(room, 'b', two);
    await rig.job();
    await rig.push('m0', toRoom);
    await rig.push('m1', toRoom);
    await until(() => one.shown.length === 2 && two.shown.length === 2);
    for (const comet of [one, two]) expect(comet.texts).toEqual(['m0', 'm1']);
    const [first, second] = one.sent;
    expect(second).toMatchObject({ rooms: [], streams: [{ stream, prev: first!.position, keys: [] }] });
    expect(other.sent).toEqual([]);
    expect(await rig.textsOf(stream)).toEqual(['m0', 'm1']);
  });

  test('takes what is ephemeral beside it, and keeps none of that', async () => {
    const comet = await rig.comet('c1');
    await rig.joinRoom(room, 'a', comet);
    await rig.job();
    await rig.push('typing', { rooms: [room], class: 'CLASS_EPHEMERAL' });
    await rig.push('m0', toRoom);
    await until(() => comet.shown.length === 2);
    expect(comet.sent[0]).toMatchObject({ rooms: [room], streams: [] });
    expect(await rig.textsOf(stream)).toEqual(['m0']);
  });

  test('without members keeps what comes, and shows who joins later what comes then', async () => {
    await rig.job();
    await rig.push('m0', toRoom);
    await until(committed);
    const comet = await rig.comet('c1');
    await rig.joinRoom(room, 'a', comet);
    await rig.push('m1', toRoom);
    await until(() => comet.shown.length === 2);
    expect(await rig.textsOf(stream)).toEqual(['m0', 'm1']);
  });

  test('has each message once and in order while streams are emptied and jobs are killed', async () => {
    const comet = await rig.comet('c1');
    await rig.joinRoom(room, 'a', comet);
    let job = await rig.job({ archiveLimits: { joinMs: 30 } });
    for (const [index, body] of texts(0, 300).entries()) {
      await rig.push(body, toRoom);
      if (index % 60 === 30) await rig.streams.restore(shardOf(stream, PARTITIONS), 'another epoch', 0);
      if (index % 100 === 80) {
        await job.kill();
        job = await rig.job({ archiveLimits: { joinMs: 30 } });
      }
    }
    await until(() => comet.shown.length >= 300, 10_000);
    expect(comet.texts).toEqual(texts(0, 300));
    await until(committed);
    expect(await rig.textsOf(stream)).toEqual(texts(0, 300));
  });
});

describe("everyone's stream", () => {
  test('is told to every comet, where a push to everyone is durable', async () => {
    const comets = [await rig.comet('c1'), await rig.comet('c2')];
    for (const comet of comets) comet.connect('all', 'a');
    await rig.job();
    await rig.push('m0', { everyone: true, class: 'CLASS_DURABLE' });
    await rig.push('live', { everyone: true });
    await rig.push('m1', { everyone: true, class: 'CLASS_DURABLE' });
    await until(() => comets.every(({ shown }) => shown.length === 3));
    for (const comet of comets) {
      expect(comet.texts).toEqual(['m0', 'live', 'm1']);
      expect(comet.sent.map(({ everyone }) => everyone)).toEqual([false, true, false]);
      expect(comet.sent[2]!.streams).toMatchObject([{ stream: 'all', prev: comet.sent[0]!.position }]);
    }
    expect(await rig.textsOf('all')).toEqual(['m0', 'm1']);
  });
});

describe('what a killed job had taken in, and not sent', () => {
  test('is read, and goes to no device that it is not for, also when its body goes along for others', async () => {
    const comet = await rig.comet('c1');
    for (const [mid, key] of [
      ['1', 'a'],
      ['1', 'b'],
      ['0', 'n'],
    ] as const)
      await rig.connect(mid, key, comet);
    const find = rig.routes.find.bind(rig.routes);
    rig.routes.find = () => new Promise(() => undefined);
    const job = await rig.job();
    await rig.push('for a', { keys: ['a', 'n'], key_owners: ['1', '0'] });
    await until(async () => (await rig.streamOf('1')).length === 1);
    await job.kill();
    rig.routes.find = find;
    await rig.job();
    await until(() => shownTo(comet, 'a').length === 1 && shownTo(comet, 'n').length === 1);
    await until(committed);
    expect(comet.sent).toHaveLength(1);
    expect(comet.sent[0]).toMatchObject({ without_body: false, keys: ['n'], streams: [{ stream: 'u/1' }] });
    expect(comet.pages).toBeGreaterThan(0);
    expect(['a', 'b', 'n'].map((key) => shownTo(comet, key))).toEqual([['for a'], [], ['for a']]);
  });
});
