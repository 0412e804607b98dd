import { afterEach, beforeEach, describe, expect, test } from '@jest/globals';
import { setTimeout as sleep } from 'node:timers/promises';
import { Topic } from '@halley/store/bus/bus';

import type { FakeComet } from '../testing/fake-comet.js';
import { GROUP, Rig, TestClock, until } from '../testing/rig.js';

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

describe('comets that come and go', () => {
  test('a comet that the registry shows a moment after its first route is waited for', async () => {
    await rig.job();
    const comet = await rig.comet('c1');
    rig.deregister(comet);
    await sleep(20);
    comet.reincarnate();
    await rig.connect('1', 'a', comet);
    await rig.push('early', { users: ['1'] });
    await sleep(200);
    expect(comet.shown).toHaveLength(0);
    rig.register(comet);
    await until(() => comet.shown.length === 1);
    expect(await rig.results('no_comet')).toBe(0);
  });

  test('a route to a comet that never appears is given up once, not for every push', async () => {
    await rig.job({ unknownCometGraceMs: 300 });
    const comet = await rig.comet('c1');
    await rig.connect('1', 'a', comet);
    rig.deregister(comet);
    comet.stop();
    comet.reincarnate();
    await rig.connect('2', 'b', comet);
    const since = performance.now();
    for (let count = 0; count < 20; count += 1) await rig.push('gone', { users: ['2'] });
    await until(async () => (await rig.results('no_comet')) === 20);
    // Each by itself would take as long as the grace.
    expect(performance.now() - since).toBeLessThan(20 * 300);
    await until(async () => (await lag()) === 0);
  });

  test('of comets that left, and that never came, only so many are remembered', async () => {
    const job = await rig.job();
    const comet = await rig.comet('c1');
    const refs = [];
    for (let count = 0; count < 1_002; count += 1) {
      refs.push(comet.ref);
      comet.reincarnate();
      rig.register(comet);
    }
    // One that is remembered to have left is not waited for.
    expect(job.links.mayAppear(refs.slice(-1_000))).toBe(false);
    expect(job.links.mayAppear(refs.slice(0, 1))).toBe(true);
    expect(job.links.all()).toHaveLength(1);
  });

  test('a comet that joins is delivered to at once, and one that restarted gets nothing meant for its past', async () => {
    const comet = await rig.comet('c1');
    await rig.job();
    await rig.connect('1', 'old', comet);
    await rig.push('before', { users: ['1'] });
    await until(() => comet.shown.length === 1);
    comet.breakStreams();
    comet.reincarnate();
    await rig.push('for the past', { users: ['1'] });
    await until(async () => (await rig.results('comet_left')) + (await rig.results('no_comet')) === 1);
    rig.register(comet);
    await rig.connect('2', 'new', comet);
    await rig.push('after', { users: ['2'] });
    await until(() => comet.shown.length === 2);
    expect(comet.texts).toEqual(['before', 'after']);
    await until(async () => (await lag()) === 0);
  });

  test('after broken streams the unacknowledged is sent again, and shown once and in order', async () => {
    const comet = await rig.comet('c1');
    await rig.connect('1', 'a', comet);
    await rig.job({ link: { maxBatchDeliveries: 5 } });
    let messages = 0;
    comet.onMessage = () => {
      messages += 1;
      // The message was taken, and its acknowledgement never leaves.
      if (messages % 20 === 0) comet.breakStreams();
    };
    await Promise.all(texts(0, 400).map((body) => rig.push(body, { users: ['1'] })));
    await until(async () => (await lag()) === 0);
    expect(comet.texts).toEqual(texts(0, 400));
    expect(comet.sent.length).toBeGreaterThan(400);
    expect(comet.hellos).toBeGreaterThan(2);
  });

  test('a comet that was killed and is back as itself gets what it had not acknowledged', async () => {
    const comet = await rig.comet('c1');
    await rig.connect('1', 'a', comet);
    await rig.job();
    await rig.push('m0', { users: ['1'] });
    await until(async () => (await lag()) === 0);
    comet.stop();
    await rig.push('m1', { users: ['1'] });
    await sleep(150);
    expect(await lag()).toBe(1);
    await comet.start();
    await until(async () => (await lag()) === 0);
    expect(comet.texts).toEqual(['m0', 'm1']);
  });

  test('a comet that vanished from the registry is used while its stream works', async () => {
    const comet = await rig.comet('c1');
    await rig.connect('1', 'a', comet);
    const job = await rig.job();
    await until(() => job.links.find(comet.ref)?.state === 'live');
    rig.deregister(comet);
    await rig.push('still', { users: ['1'] });
    await rig.push('for all', { everyone: true });
    await until(() => comet.shown.length === 2);
    comet.mode = 'mute';
    await rig.push('last', { users: ['1'] });
    await until(() => comet.shown.length === 3);
    comet.endStreams();
    await until(async () => (await lag()) === 0);
    expect(await rig.results('comet_left')).toBe(1);
    expect(job.links.all()).toEqual([]);
  });

  test('a vanished comet whose stream broke is held for two sessions, then gone', async () => {
    const clock = new TestClock();
    const comet = await rig.comet('c1');
    const job = await rig.job({ clock });
    await until(() => job.links.find(comet.ref)?.state === 'live');
    comet.mode = 'deaf';
    rig.deregister(comet);
    comet.breakStreams();
    await until(() => job.links.find(comet.ref)?.state === 'connecting');
    job.pass(clock, 11_000);
    expect(job.links.find(comet.ref)).toBeDefined();
    await until(() => {
      job.pass(clock, 2_500);
      return job.links.find(comet.ref) === undefined;
    });
  });

  test('a silent comet is given up after 5 s, and holds nobody up meanwhile or after', async () => {
    const clock = new TestClock();
    const [silent, other] = [await rig.comet('c1'), await rig.comet('c2')];
    await rig.connect('1', 'a', silent);
    await rig.connect('1', 'b', other);
    const job = await rig.job({ clock });
    await until(() => job.links.all().every((link) => link.state === 'live'));
    silent.mode = 'deaf';
    for (const body of texts(0, 50)) await rig.push(body, { users: ['1'] });
    // Not only shown: until its acks are here, the other would be given up too.
    await until(async () => (await rig.results('acked')) === 50);
    job.pass(clock, 4_900);
    expect(await rig.results('comet_silent')).toBe(0);
    expect(await lag()).toBe(50);
    job.pass(clock, 200);
    await until(async () => (await lag()) === 0);
    expect(await rig.results('comet_silent')).toBe(50);
    await rig.push('m50', { users: ['1'] });
    await until(async () => (await lag()) === 0);
    expect(await rig.results('comet_silent')).toBe(51);
    silent.mode = 'ack';
    await until(() => {
      job.pass(clock, 100);
      return job.links.find(silent.ref)?.state === 'live';
    });
    await rig.push('m51', { users: ['1'] });
    await until(() => silent.texts.at(-1) === 'm51');
    expect(shownTo(other, 'b')).toEqual(texts(0, 52));
  });

  test('a job that did not run for a while itself gives nobody up for that', async () => {
    const clock = new TestClock();
    const comet = await rig.comet('c1');
    await rig.connect('1', 'a', comet);
    const job = await rig.job({ clock });
    await until(() => job.links.all().every((link) => link.state === 'live'));
    comet.mode = 'mute';
    await rig.push('held', { users: ['1'] });
    await until(() => comet.shown.length === 1);
    clock.advance(30_000);
    job.links.tick();
    expect(job.links.all().map((link) => link.state)).toEqual(['live']);
    comet.ackAll();
    await until(async () => (await lag()) === 0);
    expect(await rig.results('acked')).toBe(1);
  });

  test('a full queue loses the newest of what is for rooms, for that comet only, and is counted', async () => {
    const [full, other] = [await rig.comet('c1'), await rig.comet('c2')];
    for (const comet of [full, other]) await rig.enterRoom('live://1', comet);
    const job = await rig.job({ link: { maxQueuedBytes: 20_000, maxStallMs: 50 } });
    await until(() => job.links.all().every((link) => link.state === 'live'));
    full.mode = 'mute';
    const big = 'x'.repeat(1_000);
    for (const [index, body] of texts(0, 40).entries()) {
      await rig.push(`${body} ${big}`, { rooms: ['live://1'] });
      await until(() => other.shown.length === index + 1);
    }
    const lost = await rig.results('queue_full');
    expect(lost).toBeGreaterThan(20);
    expect(full.texts.map((text) => text.split(' ')[0])).toEqual(texts(0, 40 - lost));
    full.mode = 'ack';
    full.ackAll();
    await until(async () => (await lag()) === 0);
    await rig.push('later', { rooms: ['live://1'] });
    await until(() => full.texts.at(-1) === 'later');
  });

  test('what is for users is not lost to a full queue: the comet is told that there are news, and reads them', async () => {
    const [full, other] = [await rig.comet('c1'), await rig.comet('c2')];
    await rig.connect('1', 'a', full);
    await rig.connect('1', 'b', other);
    const job = await rig.job({ link: { maxQueuedBytes: 20_000, maxStallMs: 50 } });
    await until(() => job.links.all().every((link) => link.state === 'live'));
    full.mode = 'mute';
    const big = 'x'.repeat(1_000);
    for (const [index, body] of texts(0, 400).entries()) {
      await rig.push(`${body} ${big}`, { users: ['1'] });
      await until(() => other.shown.length === index + 1);
    }
    expect(await rig.results('queue_full')).toBe(0);
    expect(await rig.results('collapsed')).toBeGreaterThan(200);
    full.mode = 'ack';
    full.ackAll();
    await until(() => full.shown.length === 400);
    expect(shownTo(full, 'a').map((text) => text.split(' ')[0])).toEqual(texts(0, 400));
    expect(other.pages).toBeLessThan(2);
    await until(async () => (await lag()) === 0);
  });

  test('a comet that keeps up with less than a backlog brings is waited for: nothing is lost', async () => {
    const comet = await rig.comet('c1');
    const users = Array.from({ length: 8 }, (_, index) => String(index + 1));
    for (const mid of users) await rig.connect(mid, `k${mid}`, comet);
    const big = 'x'.repeat(2_000);
    for (const mid of users) {
      const records = texts(0, 200).map((body) => rig.record(`${body} ${big}`, { users: [mid] }));
      await rig.bus.produce(Topic.Push, records);
    }
    const job = await rig.job({ link: { maxQueuedBytes: 100_000, maxBatchDeliveries: 4 } });
    await until(async () => (await lag()) === 0 && comet.shown.length === 1_600, 20_000);
    expect(await rig.results('queue_full')).toBe(0);
    for (const mid of users)
      expect(shownTo(comet, `k${mid}`).map((text) => text.split(' ')[0])).toEqual(texts(0, 200));
    expect(job.links.all().map((link) => link.queuedBytes)).toEqual([0]);
  });

  test('a comet that lags does not hold the window of a partition for the others', async () => {
    const [slow, other] = [await rig.comet('c1'), await rig.comet('c2')];
    await rig.connect('1', 'a', slow);
    await rig.connect('1', 'b', other);
    const job = await rig.job({
      link: { maxQueuedBytes: 8_000, maxStallMs: 50 },
      lane: { maxRecords: 30, maxStallMs: 100 },
    });
    await until(() => job.links.all().every((link) => link.state === 'live'));
    slow.mode = 'mute';
    for (const [index, body] of texts(0, 120).entries()) {
      await rig.push(body, { users: ['1'] });
      await until(() => other.shown.length === index + 1);
    }
    expect(shownTo(other, 'b')).toEqual(texts(0, 120));
    expect(await rig.results('collapsed')).toBeGreaterThan(0);
  });
});
