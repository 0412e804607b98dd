import { randomInt } from 'node:crypto';
import { setTimeout as sleep } from 'node:timers/promises';

import { afterAll, afterEach, beforeAll, expect, test } from '@jest/globals';

import { startCluster, type TestCluster } from '../harness/cluster.js';
import type { GoimClient } from '../harness/goim-client.js';
import { GoimProducer } from '../harness/goim-producer.js';
import { type Faults, faultsOf, NO_FAULTS, NumberedPushes, Receiver } from '../harness/numbered.js';
import { HttpPusher, type Pusher, StreamPusher } from '../harness/pushers.js';
import { Random } from '@halley/bench/random';
import { connectTo } from '../harness/traffic.js';
import { newKey, newMid, newOp, newRoom } from '../harness/unique.js';
import { eventually } from '../harness/within.js';

/** All, once and in order: to one user, to many users and rooms, and while jobs die in the middle of a batch. */
const SEED = Number(process.env['HALLEY_TEST_SEED'] ?? randomInt(2 ** 31));
const JOB_KILLS = Number(process.env['HALLEY_TEST_JOB_KILLS'] ?? 4);
/** A job that was killed is known to be gone after its session, 6 s; then the rest of a round still has to go out. */
const TAKEOVER_MS = 25_000;

/** Longer than a job waits to commit, shorter than it waits for a comet. */
const FROZEN_MS = 700;

const PLACES = [
  ['comet-1', 'tcp'],
  ['comet-2', 'ws'],
  ['comet-2', 'tcp'],
  ['comet-1', 'ws'],
] as const;

let cluster: TestCluster;
const clients: GoimClient[] = [];
const pushers: Pusher[] = [];

beforeAll(async () => {
  cluster = await startCluster();
}, 120_000);

afterEach(() => {
  for (const client of clients.splice(0)) client.close();
  for (const pusher of pushers.splice(0)) pusher.close();
});

afterAll(() => cluster?.stop(), 20_000);

/** The two ways to push in order: one call after the other, and a stream that waits for nothing. */
const PUSHERS = {
  'calls of the HTTP API one after the other': () =>
    new HttpPusher([`http://${cluster.address('logic-1', 'http')}`]),
  'a stream without waiting': () => new StreamPusher(cluster.address('logic-2', 'grpc')),
} as const;

function openPusher(kind: keyof typeof PUSHERS): Pusher {
  const pusher = PUSHERS[kind]();
  pushers.push(pusher);
  return pusher;
}

/** `count` pushes of one pusher, to these in a random order. Resolves when all are answered, each with OK. */
async function pushAll(
  pusher: Pusher,
  streams: readonly NumberedPushes[],
  count: number,
  random: Random,
): Promise<void> {
  const answers = [];
  for (let sent = 0; sent < count; sent += 1) {
    const answer = random.pick(streams).push(pusher);
    answers.push(answer);
    if (pusher instanceof HttpPusher) await answer;
  }
  expect((await Promise.all(answers)).filter(({ outcome }) => outcome !== 'ok')).toEqual([]);
}

/** What is wrong once nothing is missing any more, or the time is up. */
async function faultsWithin(receivers: readonly Receiver[], timeoutMs: number): Promise<Faults> {
  return eventually(
    () => faultsOf(receivers),
    ({ lost }) => lost.length === 0,
    timeoutMs,
    50,
  );
}

/** Eight connections over both comets, of four users with two each, in three rooms; and the pushes to all of them. */
async function crowd(
  padding = '',
): Promise<Record<'users' | 'keys' | 'rooms', NumberedPushes[]> & { receivers: Receiver[] }> {
  const op = newOp();
  const rooms = [0, 1, 2].map(() => newRoom());
  const mids = [0, 1, 2, 3].map(() => newMid());
  const places = [...PLACES, ...PLACES].map((place) => ({ place, key: newKey() }));
  const streams = {
    rooms: rooms.map((room, index) => new NumberedPushes(`room-${index}`, { room }, op, padding)),
    users: mids.map((mid, index) => new NumberedPushes(`user-${index}`, { mid }, op, padding)),
    keys: places.map(({ key }, index) => new NumberedPushes(`key-${index}`, { key }, op, padding)),
  };
  const receivers = await Promise.all(
    places.map(async ({ place: [comet, transport], key }, index) => {
      const client = await connectTo(cluster, comet, transport);
      clients.push(client);
      // The second device of a user is elsewhere than the first.
      const [user, room] = [(index + (index >> 2)) % 4, index % 3];
      await client.auth({ mid: mids[user], key, room_id: rooms[room]?.id, accepts: [op] });
      const own = [streams.users[user], streams.rooms[room], streams.keys[index]];
      return new Receiver(
        `${comet} ${transport}`,
        client,
        own.filter((one) => one !== undefined),
      );
    }),
  );
  return { ...streams, receivers };
}

test.each(Object.keys(PUSHERS) as (keyof typeof PUSHERS)[])(
  '500 pushes in a row to one user, by %s, arrive all, once and in order at each of its connections',
  async (kind) => {
    const [mid, op] = [newMid(), newOp()];
    const pushes = new NumberedPushes('user', { mid }, op);
    const receivers = await Promise.all(
      PLACES.map(async ([comet, transport]) => {
        const client = await connectTo(cluster, comet, transport);
        clients.push(client);
        await client.auth({ mid, key: newKey(), room_id: '', accepts: [op] });
        return new Receiver(`${comet} ${transport}`, client, [pushes]);
      }),
    );
    await pushAll(openPusher(kind), [pushes], 500, new Random(SEED));
    expect(await faultsWithin(receivers, 10_000)).toEqual(NO_FAULTS);
    expect(receivers.map(({ count }) => count)).toEqual([500, 500, 500, 500]);
  },
);

test.each(Object.keys(PUSHERS) as (keyof typeof PUSHERS)[])(
  '1,500 pushes of one pusher to several rooms and users, by %s, arrive all, once and in order',
  async (kind) => {
    const { users, rooms, receivers } = await crowd();
    const streams = [...users, ...rooms];
    await pushAll(openPusher(kind), streams, 1_500, new Random(SEED));
    expect(await faultsWithin(receivers, 10_000)).toEqual(NO_FAULTS);
    expect(pushed(streams)).toBe(1_500);
    expect(receivers.every(({ count }) => count > 200)).toBe(true);
  },
);

test(
  `they do so too when jobs are killed in the middle of a batch and another takes over (seed ${SEED})`,
  async () => {
    const random = new Random(SEED);
    // More than a stream to a comet takes at once: while a comet stands still, the rest waits in the job.
    const { users, keys, rooms, receivers } = await crowd('.'.repeat(200));
    const stream = openPusher('a stream without waiting');
    const http = openPusher('calls of the HTTP API one after the other');
    // With the bus in Redis there is no goim producer; another stream stands in for it.
    const goim =
      cluster.cluster.bus === 'kafka'
        ? await GoimProducer.connect(cluster.services.kafka.address)
        : openPusher('a stream without waiting');
    pushers.push(goim);
    const jobs = ['job-1', 'job-2'];
    const story: string[] = [];
    for (let kill = 0; kill < JOB_KILLS; kill += 1) {
      // At once, each to streams of its own, so that there is order to keep.
      const before = received(receivers);
      const pushing = Promise.all([
        pushAll(stream, [...users, ...rooms.slice(1)], 1_500, random),
        pushAll(goim, [...keys.slice(4), ...rooms.slice(0, 1)], 600, random),
        pushAll(http, keys.slice(0, 4), 200, random),
      ]);
      const killAt = before + 1 + random.below(2_000);
      await eventually(() => received(receivers) >= killAt, Boolean, 15_000, 1);
      // Every second time a comet stands still meanwhile, so that the job dies with a good deal undone.
      const frozen = kill % 2 === 0 ? cluster.cluster.node(random.pick(['comet-1', 'comet-2'])) : undefined;
      frozen?.pause();
      if (frozen) await sleep(FROZEN_MS);
      const victim = random.pick(jobs);
      await cluster.kill(victim);
      frozen?.resume();
      const at = `${received(receivers) - before} of the round's deliveries`;
      story.push(`${victim} killed after ${at}${frozen ? `, ${frozen.name} stood still` : ''}`);
      jobs.splice(jobs.indexOf(victim), 1);
      // The one that is left takes over; every third time a new one comes in between.
      const replacement = kill % 3 === 2 ? cluster.add('job') : undefined;
      await pushing;
      const faults = await faultsWithin(receivers, TAKEOVER_MS);
      expect({ story, ...faults }).toEqual({ story, ...NO_FAULTS });
      jobs.push(await (replacement ?? cluster.add('job')));
    }
    expect(pushed([...users, ...keys, ...rooms])).toBe(JOB_KILLS * 2_300);
  },
  30_000 + JOB_KILLS * (TAKEOVER_MS + 15_000),
);

function received(receivers: readonly Receiver[]): number {
  return receivers.reduce((sum, { count }) => sum + count, 0);
}

function pushed(streams: readonly NumberedPushes[]): number {
  return streams.reduce((sum, { next }) => sum + next, 0);
}
