import { afterEach, beforeEach, describe, expect, test } from '@jest/globals';
import { setTimeout as sleep } from 'node:timers/promises';
import { HalleyError } from '@halley/protocol/error';
import type { PushException } from '@halley/service/exceptions';
import { Topic } from '@halley/store/bus/bus';
import type { RouteQuery } from '@halley/store/routes/routes';

import type { FakeComet } from '../testing/fake-comet.js';
import { GROUP, Rig, until } from '../testing/rig.js';

let rig: Rig;

beforeEach(async () => {
  rig = await Rig.open();
});

afterEach(async () => {
  await rig.close();
});

const lag = () => rig.bus.lag(GROUP, Topic.Push);
const texts = (from: number, to: number) =>
  Array.from({ length: to - from }, (_, index) => `m${from + index}`);
/** The bodies shown to one key, in the order of showing. */
const shownTo = (comet: FakeComet, key: string) =>
  comet.shown.filter(({ keys }) => keys.includes(key)).map(({ body }) => body.toString());

describe('from the bus to comets', () => {
  test('500 pushes in a row to one user arrive once and in order, and are committed', async () => {
    const comet = await rig.comet('c1');
    await rig.connect('1', 'a', comet);
    await rig.job();
    for (const body of texts(0, 500)) void rig.push(body, { users: ['1'] });
    await until(() => comet.shown.length >= 500);
    expect(comet.texts).toEqual(texts(0, 500));
    expect(comet.sent).toHaveLength(500);
    await until(async () => (await lag()) === 0);
    expect(await rig.results('acked')).toBe(500);
  });

  test('users, keys, rooms and everyone reach the comets that have them, with the position of the record', async () => {
    const [one, two] = [await rig.comet('c1'), await rig.comet('c2')];
    await rig.connect('1', 'a', one);
    await rig.connect('1', 'b', two);
    await rig.enterRoom('live://1', two);
    await rig.job();
    await rig.push('user', { users: ['1'] });
    await rig.push('key', { keys: ['a'] });
    await rig.push('room', { rooms: ['live://1'] });
    await rig.push('all', { everyone: true });
    await until(() => one.shown.length === 3 && two.shown.length === 3);
    expect(one.texts.toSorted()).toEqual(['all', 'key', 'user']);
    expect(two.texts.toSorted()).toEqual(['all', 'room', 'user']);
    expect(shownTo(one, 'a').toSorted()).toEqual(['key', 'user']);
    expect(shownTo(two, 'b')).toEqual(['user']);
    expect(two.shown.find(({ rooms }) => rooms.length > 0)?.rooms).toEqual(['live://1']);
    expect(two.shown.find(({ everyone }) => everyone)?.id).toBe('all');
    for (const { position } of [...one.shown, ...two.shown]) expect(Number(position) % 1_024).toBe(0);
  });

  test('who is not connected is counted and held by nobody; what expired is dropped and counted', async () => {
    const comet = await rig.comet('c1');
    await rig.connect('1', 'a', comet);
    await rig.job();
    await rig.push('nobody', { users: ['404'] });
    await rig.push('late', { users: ['1'], expire_at_ms: Date.now() - 1 });
    await rig.push('in time', { users: ['1'], expire_at_ms: Date.now() + 60_000 });
    await until(async () => (await lag()) === 0);
    expect(comet.texts).toEqual(['in time']);
    expect(await rig.results('no_target')).toBe(1);
    expect(await rig.results('expired')).toBe(1);
  });

  test('what has expired and is not kept is told to the ledger; what is kept is not', async () => {
    const comet = await rig.comet('c1');
    await rig.connect('1', 'a', comet);
    await rig.enterRoom('live://1', comet);
    const told: PushException[] = [];
    await rig.job({ exceptions: { tell: (one) => void told.push(one) } });
    const late = { class: 'CLASS_EPHEMERAL', expire_at_ms: Date.now() - 1, caller: 'shop' } as const;
    await rig.push('late', { id: 'late-1', rooms: ['live://1'], ...late });
    await rig.push('kept', { id: 'kept-1', users: ['1'], expire_at_ms: Date.now() - 1 });
    await until(async () => (await lag()) === 0);
    expect(told).toEqual([
      { id: 'late-1', caller: 'shop', kind: 'expired', reason: 'expired', stream: 'r/live://1' },
    ]);
  });

  test('nothing is committed at or above a record that a comet has not acknowledged', async () => {
    const comet = await rig.comet('c1');
    await rig.connect('1', 'a', comet);
    await rig.job();
    await rig.push('first', { users: ['1'] });
    await until(async () => (await lag()) === 0);
    comet.mode = 'mute';
    await rig.push('held', { users: ['1'] });
    await rig.push('to nobody', { users: ['1'], expire_at_ms: 1 });
    await until(() => comet.texts.includes('held'));
    await sleep(100);
    expect(await lag()).toBe(2);
    comet.ackAll();
    await until(async () => (await lag()) === 0);
  });

  test('a job that is killed in mid batch is taken over: all arrive once and in order', async () => {
    const comet = await rig.comet('c1');
    await rig.connect('1', 'a', comet);
    await rig.enterRoom('live://1', comet);
    const first = await rig.job({ link: { maxBatchDeliveries: 7 } });
    let killed: Promise<void> | undefined;
    comet.onMessage = () => {
      if (comet.shown.length > 150) killed ??= first.kill();
    };
    const writes = texts(0, 600).flatMap((body) => [
      rig.push(body, { users: ['1'] }),
      rig.push(body, { rooms: ['live://1'] }),
    ]);
    await Promise.all(writes);
    await until(() => killed !== undefined);
    await killed;
    await rig.job();
    await until(async () => (await lag()) === 0);
    expect(shownTo(comet, 'a')).toEqual(texts(0, 600));
    const inRoom = comet.shown.filter(({ rooms }) => rooms.length > 0);
    expect(inRoom.map(({ body }) => body.toString())).toEqual(texts(0, 600));
    expect(comet.sent.filter(({ rooms }) => rooms.length > 0).length).toBeGreaterThan(600);
  });

  test('a second job takes partitions over while traffic flows, and the first goes: nothing is lost or doubled', async () => {
    const comet = await rig.comet('c1');
    const users = Array.from({ length: 12 }, (_, index) => String(index + 1));
    for (const mid of users) await rig.connect(mid, `k${mid}`, comet);
    const first = await rig.job();
    const pushes: Promise<void>[] = [];
    for (const [index, body] of texts(0, 200).entries()) {
      for (const mid of users) pushes.push(rig.push(body, { users: [mid] }));
      if (index === 60) await rig.job();
      if (index === 130) await first.stop(2_000);
      if (index % 20 === 0) await sleep(5);
    }
    await Promise.all(pushes);
    await until(async () => (await lag()) === 0);
    for (const mid of users) expect(shownTo(comet, `k${mid}`)).toEqual(texts(0, 200));
  });

  test('a stop finishes what is in flight and commits it', async () => {
    const comet = await rig.comet('c1');
    await rig.connect('1', 'a', comet);
    const job = await rig.job();
    for (const body of texts(0, 100)) await rig.push(body, { users: ['1'] });
    await until(() => comet.shown.length > 0);
    await job.stop(4_000);
    expect(comet.texts).toEqual(texts(0, comet.shown.length));
    expect(await lag()).toBe(100 - comet.shown.length);
  });

  test('routes that were read along with the append are not read again; those of other shards are', async () => {
    const comet = await rig.comet('c1');
    await rig.connect('1', 'a', comet);
    await rig.enterRoom('live://1', comet);
    const find = rig.routes.find.bind(rig.routes);
    const asked: RouteQuery[] = [];
    rig.routes.find = (query) => {
      asked.push(query);
      return find(query);
    };
    const append = rig.streams.append.bind(rig.streams);
    rig.streams.append = async (batch) => {
      const answer = await append(batch);
      if (answer.outcome !== 'appended' || !batch.routesOf) return answer;
      return { ...answer, routes: await find(batch.routesOf) };
    };
    await rig.job();
    await rig.push('user', { users: ['1'] });
    await rig.push('room', { rooms: ['live://1'], class: 'CLASS_EPHEMERAL' });
    await until(() => comet.shown.length === 2);
    expect(asked).toEqual([]);
    await rig.push('key', { keys: ['a'], class: 'CLASS_EPHEMERAL' });
    await until(() => comet.shown.length === 3);
    expect(asked).toEqual([{ users: [], keys: ['a'], rooms: [] }]);
    expect(comet.texts.toSorted()).toEqual(['key', 'room', 'user']);
  });

  test('while routes cannot be read nothing is skipped or committed; afterwards all goes on', async () => {
    const comet = await rig.comet('c1');
    await rig.connect('1', 'a', comet);
    const job = await rig.job();
    const find = rig.routes.find.bind(rig.routes);
    let failures = 0;
    rig.routes.find = async () => {
      failures += 1;
      throw new HalleyError('store_unavailable');
    };
    for (const body of texts(0, 20)) await rig.push(body, { users: ['1'] });
    await until(() => failures >= 3);
    expect(await lag()).toBe(20);
    expect(job.push.lanes.some((lane) => lane.trouble === 'routes')).toBe(true);
    rig.routes.find = find;
    await until(async () => (await lag()) === 0);
    expect(comet.texts).toEqual(texts(0, 20));
    expect(job.push.lanes.some((lane) => lane.trouble === 'routes')).toBe(false);
    expect(await rig.count('halley_job_route_failures_total')).toBe(failures);
  });

  test('a fault while routing is met again with the same records, not stepped over', async () => {
    const comet = await rig.comet('c1');
    await rig.connect('1', 'a', comet);
    const job = await rig.job();
    const find = job.links.find.bind(job.links);
    let faults = 0;
    job.links.find = (ref) => {
      faults += 1;
      if (faults <= 2) throw new Error('a fault');
      return find(ref);
    };
    await rig.push('m0', { users: ['1'] });
    await rig.push('m1', { users: ['1'] });
    await until(async () => (await lag()) === 0);
    expect(comet.texts).toEqual(['m0', 'm1']);
  });

  test('what cannot be decoded is put aside with where it stood, in its turn, and the lane goes on', async () => {
    const comet = await rig.comet('c1');
    await rig.connect('1', 'a', comet);
    let refusals = 2;
    await rig.job({
      produce: async (topic, records) => {
        refusals -= 1;
        if (refusals >= 0) throw new HalleyError('bus_refused');
        return rig.bus.produce(topic, records);
      },
    });
    const good = rig.record('before', { users: ['1'] });
    const bad = { partition: good.partition!, key: 'k', value: Buffer.from([0xff, 0x07, 0x80]) };
    const empty = { ...bad, value: Buffer.alloc(0) };
    await rig.bus.produce(Topic.Push, [good, bad, empty, rig.record('after', { users: ['1'] })]);
    await until(async () => (await lag()) === 0);
    expect(comet.texts).toEqual(['before', 'after']);
    const dead = await rig.read(Topic.Dead);
    expect(dead.map(({ headers }) => headers['halley-reason'])).toEqual(['undecodable', 'empty']);
    expect(dead[0]?.headers).toMatchObject({
      'halley-topic': Topic.Push,
      'halley-partition': String(good.partition),
      'halley-offset': '1',
    });
    expect(Buffer.from(dead[0]!.value)).toEqual(bad.value);
    expect(await rig.count('halley_job_dead_letters_total', { reason: 'undecodable' })).toBe(1);
  });
});
