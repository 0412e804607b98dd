import { afterEach, beforeEach, describe, expect, test } from '@jest/globals';
import { setTimeout as sleep } from 'node:timers/promises';
import { HalleyError } from '@halley/protocol/error';
import { Topic } from '@halley/store/bus/bus';
import type { AppendBatch, Streams } from '@halley/store/streams/streams';

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
const shownTo = (comet: FakeComet, key: string) =>
  comet.shown.filter(({ keys }) => keys.includes(key)).map(({ body }) => body.toString());
const committed = async () => (await lag()) === 0;

/** Empties the streams of a user's shard, as a restart without persistence does. */
async function empty(mid: string): Promise<void> {
  await rig.streams.restore(rig.shardOf(mid), 'another epoch', 0);
}

/** The rig's streams, with another append. */
function streamsWith(append: Streams['append']): Streams {
  return new Proxy<Streams>(rig.streams, {
    get: (target, name) => {
      if (name === 'append') return append;
      const value: unknown = Reflect.get(target, name);
      return typeof value === 'function' ? (...args: unknown[]) => Reflect.apply(value, target, args) : value;
    },
  });
}

describe('what is kept', () => {
  test('a push to a user who is away is in the stream, and comets are told of later ones in their order', async () => {
    await rig.job();
    await rig.push('m0', { users: ['1'] });
    await until(committed);
    expect(await rig.streamOf('1')).toEqual(['m0']);
    expect(await rig.results('no_target')).toBe(1);
    const comet = await rig.comet('c1');
    await rig.connect('1', 'a', comet);
    await rig.push('m1', { users: ['1'] });
    await until(() => comet.shown.length === 2);
    expect(comet.texts).toEqual(['m0', 'm1']);
    expect(comet.sent).toHaveLength(1);
    expect(comet.sent[0]).toMatchObject({ without_body: false, keys: [], class: 'CLASS_UNSPECIFIED' });
  });

  test('a push to many users of a comet is one delivery, its body once, with what stands before it', async () => {
    const comet = await rig.comet('c1');
    const users = Array.from({ length: 40 }, (_, index) => String(index + 1)).filter(
      (mid) => rig.shardOf(mid) === 0,
    );
    for (const mid of users) await rig.connect(mid, `k${mid}`, comet);
    await rig.job();
    await rig.push('m0', { users });
    await rig.push('m1', { users });
    await until(() => comet.shown.length === 2 * users.length);
    expect(comet.sent).toHaveLength(2);
    const [first, second] = comet.sent;
    expect(second!.streams.map(({ stream }) => stream)).toEqual(users.map((mid) => `u/${mid}`));
    expect(new Set(second!.streams.map(({ prev }) => prev))).toEqual(new Set([first!.position]));
  });

  test('what a client sent says who, in the stream and to the comets; control goes to comets as such', async () => {
    const comet = await rig.comet('c1');
    await rig.connect('1', 'a', comet);
    await rig.job();
    const sender = { mid: '9007199254740993', key: 'web', client_id: 'c1', to_mid: '1' };
    await rig.push('m0', { users: ['1'], sender });
    await rig.push('m1', { users: ['1'], control: true, class: 'CLASS_EPHEMERAL', accepted_at_ms: 5 });
    await until(() => comet.sent.length === 2);
    expect(comet.sent).toMatchObject([
      { sender, control: false },
      { sender: null, control: true, accepted_at_ms: '5' },
    ]);
    const { entries } = await rig.readStream('u/1', -1);
    const { client_id: clientId, to_mid: toMid, ...from } = sender;
    expect(entries).toMatchObject([{ sender: { ...from, clientId, toMid } }]);
  });

  test('a body that is too large for a hint is read from the stream', async () => {
    const comet = await rig.comet('c1');
    await rig.connect('1', 'a', comet);
    await rig.enterRoom('live://1', comet);
    await rig.job({ maxHintBodyBytes: 10 });
    await rig.push('small', { users: ['1'] });
    await rig.push('not so small', { users: ['1'] });
    await rig.push('for a room too', { users: ['1'], rooms: ['live://1'] });
    await until(() => shownTo(comet, 'a').length === 3);
    expect(shownTo(comet, 'a')).toEqual(['small', 'not so small', 'for a room too']);
    expect(comet.sent.map(({ body, without_body }) => [body.toString(), without_body])).toEqual([
      ['small', false],
      ['', true],
      // The room has no stream to read.
      ['for a room too', false],
    ]);
  });

  test('a push to keys is an entry of their users, for those devices; keys of nobody are sent it live', async () => {
    const comet = await rig.comet('c1');
    const mid = '1';
    await rig.connect(mid, 'a', comet);
    await rig.connect(mid, 'b', comet);
    await rig.connect('0', 'n', comet);
    await rig.job();
    await rig.push('m0', { keys: ['a', 'n'], key_owners: [mid, '0'] });
    await rig.push('m1', { keys: ['n'] });
    await rig.push('m2', { users: [mid] });
    await until(() => shownTo(comet, 'n').length === 2 && shownTo(comet, 'b').length === 1);
    expect(shownTo(comet, 'a')).toEqual(['m0', 'm2']);
    expect(await rig.streamOf(mid)).toEqual(['m0', 'm2']);
    expect(comet.sent.find(({ id }) => id === 'm0')).toMatchObject({
      keys: ['n'],
      streams: [{ stream: 'u/1', keys: ['a'] }],
    });
  });

  test('what was pushed to be dropped is not kept', async () => {
    const comet = await rig.comet('c1');
    await rig.connect('1', 'a', comet);
    await rig.job();
    await rig.push('m0', { users: ['1'], class: 'CLASS_EPHEMERAL' });
    await until(() => comet.shown.length === 1);
    expect(comet.sent[0]).toMatchObject({ keys: ['a'], streams: [] });
    expect(await rig.streamOf('1')).toEqual([]);
  });

  test('an id that comes again within the day is delivered once', async () => {
    const comet = await rig.comet('c1');
    await rig.connect('1', 'a', comet);
    await rig.job();
    await rig.push('m0', { users: ['1'], id: 'same', caller: 'shop' });
    await rig.push('m0', { users: ['1'], id: 'same', caller: 'shop' });
    await rig.push('another', { users: ['1'], id: 'same', caller: 'shop' });
    await rig.push('m0', { users: ['1'], id: 'same', caller: 'other' });
    await until(committed);
    await until(() => comet.shown.length === 2);
    expect(comet.texts).toEqual(['m0', 'm0']);
    expect(await rig.count('halley_job_appended_total', { result: 'repeated' })).toBe(1);
    expect(await rig.count('halley_job_appended_total', { result: 'conflict' })).toBe(1);
  });
});

describe('whatever happens to stores and jobs', () => {
  test('an append whose answer is lost is repeated: all is shown once and in order', async () => {
    const comet = await rig.comet('c1');
    await rig.connect('1', 'a', comet);
    let calls = 0;
    const streams = streamsWith(async (batch) => {
      calls += 1;
      const answer = await rig.streams.append(batch);
      if (calls % 3 === 1) throw new HalleyError('store_unavailable');
      return answer;
    });
    await rig.job({ streams });
    for (const [index, body] of texts(0, 60).entries()) {
      void rig.push(body, { users: ['1'] });
      if (index % 10 === 0) await sleep(20);
    }
    await until(() => comet.shown.length === 60, 10_000);
    expect(comet.texts).toEqual(texts(0, 60));
    await until(committed);
    expect(await rig.streamOf('1')).toEqual(texts(0, 60));
  });

  test('while the streams are full or away nothing is stepped over, and the lane says why it waits', async () => {
    const comet = await rig.comet('c1');
    await rig.connect('1', 'a', comet);
    let code: 'store_full' | 'store_unavailable' | undefined = 'store_full';
    const streams = streamsWith(async (batch) => {
      if (code) throw new HalleyError(code);
      return rig.streams.append(batch);
    });
    const job = await rig.job({ streams });
    const troubles = () => job.push.lanes.flatMap(({ trouble }) => trouble ?? []);
    for (const body of texts(0, 10)) await rig.push(body, { users: ['1'] });
    await until(() => troubles().includes('streams_full'));
    code = 'store_unavailable';
    await until(() => troubles().includes('streams'));
    expect(comet.shown).toEqual([]);
    expect(await lag()).toBe(10);
    code = undefined;
    await until(() => comet.shown.length === 10);
    expect(comet.texts).toEqual(texts(0, 10));
    expect(troubles()).toEqual([]);
  });

  test('emptied streams are filled again from the archive on, while pushes go on: nothing is lost or doubled', async () => {
    const comet = await rig.comet('c1');
    await rig.connect('1', 'a', comet);
    const job = await rig.job({ archiveLimits: { joinMs: 30 } });
    for (const [index, body] of texts(0, 300).entries()) {
      await rig.push(body, { users: ['1'] });
      if (index % 60 === 30) await empty('1');
    }
    await until(() => comet.shown.length >= 300, 10_000);
    expect(comet.texts).toEqual(texts(0, 300));
    await until(committed);
    expect(await rig.streamOf('1')).toEqual(texts(0, 300));
    expect(await rig.count('halley_job_rewinds_total', { why: 'empty' })).toBeGreaterThan(4);
    expect(job.push.watermarks).toHaveLength(4);
  });

  test('streams that are emptied while nothing is pushed are filled again too', async () => {
    await rig.job({ archive: rig.archive, archiveLimits: { joinMs: 60_000 } });
    await rig.push('m0', { users: ['1'] });
    await until(async () => (await rig.streamOf('1')).length === 1);
    await empty('1');
    await until(async () => (await rig.streamOf('1')).length === 1);
    expect(await rig.streamOf('1')).toEqual(['m0']);
  });

  test('nothing is committed that is not archived; deliveries go on while the database is away', async () => {
    const comet = await rig.comet('c1');
    await rig.connect('1', 'a', comet);
    const store = rig.archive.store.bind(rig.archive);
    let failures = 0;
    rig.archive.store = async () => {
      failures += 1;
      throw new HalleyError('store_unavailable');
    };
    const job = await rig.job();
    for (const body of texts(0, 20)) await rig.push(body, { users: ['1'] });
    const undone = () => job.push.lanes.reduce((sum, { offsets }) => sum + offsets.undone, 0);
    await until(() => comet.shown.length === 20 && failures > 1 && undone() === 0);
    expect(await lag()).toBe(20);
    expect(job.push.archiveLagMs).toBeGreaterThan(0);
    await job.kill();
    // Another job reads it all again, and shows nothing twice.
    await rig.job();
    await rig.push('m20', { users: ['1'] });
    await until(() => comet.shown.length === 21);
    rig.archive.store = store;
    await until(committed, 10_000);
    expect(comet.texts).toEqual(texts(0, 21));
    expect(await rig.streamOf('1')).toEqual(texts(0, 21));
  });

  test('what a killed job had taken in and not sent is read by the comets when the next job tells them', async () => {
    const comet = await rig.comet('c1');
    await rig.connect('1', 'a', comet);
    const find = rig.routes.find.bind(rig.routes);
    rig.routes.find = () => new Promise(() => undefined);
    const job = await rig.job();
    for (const body of texts(0, 5)) await rig.push(body, { users: ['1'] });
    await until(async () => (await rig.streamOf('1')).length > 0);
    await job.kill();
    rig.routes.find = find;
    await rig.job();
    await until(() => comet.shown.length === 5);
    expect(comet.texts).toEqual(texts(0, 5));
    expect(comet.sent.some(({ without_body }) => without_body)).toBe(true);
    await until(committed);
  });

  test('a job that was asleep and goes on with what it had in hand adds nothing', async () => {
    const comet = await rig.comet('c1');
    await rig.connect('1', 'a', comet);
    let asleep: AppendBatch | undefined;
    let awake = (): void => undefined;
    const zombie = await rig.job({
      streams: streamsWith(async (batch) => {
        if (batch.pushes.length > 0 && !asleep) {
          asleep = batch;
          await new Promise<void>((resolve) => (awake = resolve));
        }
        return rig.streams.append(batch);
      }),
    });
    for (const body of texts(0, 3)) await rig.push(body, { users: ['1'] });
    await until(() => asleep !== undefined);
    // Its session ran out: all its partitions go to another one, and it doesn't know.
    const answered = rig.streams.append(asleep!);
    await answered;
    void zombie.push.stop(0);
    await rig.job();
    for (const body of texts(3, 6)) await rig.push(body, { users: ['1'] });
    await until(async () => (await rig.streamOf('1')).length === 6);
    awake();
    await until(committed);
    await until(() => comet.shown.length === 6);
    expect(comet.texts).toEqual(texts(0, 6));
    expect(await rig.streamOf('1')).toEqual(texts(0, 6));
  });
});
