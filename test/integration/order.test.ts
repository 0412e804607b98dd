import { randomInt } from 'node:crypto';
import { setTimeout as sleep } from 'node:timers/promises';

import { afterAll, afterEach, beforeAll, expect, test } from '@jest/globals';

import { startCluster, type TestCluster } from '../harness/cluster.js';
import type { GoimClient } from '../harness/goim-client.js';
import { type Faults, faultsOf, NO_FAULTS, NumberedPushes, Receiver } from '../harness/numbered.js';
import { HttpPusher, type Pusher, StreamPusher } from '../harness/pushers.js';
import { Random } from '../harness/random.js';
import { connectTo } from '../harness/traffic.js';
import { newMid, newOp, newRoom } from '../harness/unique.js';
import { eventually } from '../harness/within.js';

/** All, once and in order: to one user, to many users and rooms, and while jobs die in the middle of a batch. */
const SEED = Number(process.env['HALLEY_TEST_SEED'] ?? randomInt(2 ** 31));
const JOB_KILLS = Number(process.env['HALLEY_TEST_JOB_KILLS'] ?? 4);
/** A job that was killed is known to be gone after its session, 6 s; then the rest of a round still has to go out. */
const TAKEOVER_MS = 25_000;

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

async function receiver(
  place: (typeof PLACES)[number],
  token: { mid: bigint; room_id?: string; op: number },
  pushes: readonly NumberedPushes[],
): Promise<Receiver> {
  const client = await connectTo(cluster, place[0], place[1]);
  clients.push(client);
  await client.auth({ mid: token.mid, key: '', room_id: token.room_id ?? '', accepts: [token.op] });
  return new Receiver(place.join(' '), client, pushes);
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

/** Four users, each with a connection at one place and in one of three rooms, and the pushes to all of them. */
async function crowd(): Promise<{ streams: NumberedPushes[]; receivers: Receiver[] }> {
  const op = newOp();
  const rooms = [0, 1, 2].map((index) => {
    const room = newRoom();
    return { room, pushes: new NumberedPushes(`room-${index}`, { room }, op) };
  });
  const users = [0, 1, 2, 3].map((index) => {
    const mid = newMid();
    return { mid, pushes: new NumberedPushes(`user-${index}`, { mid }, op) };
  });
  // Twice as many connections as places: every room has members on both comets, every user has two devices.
  const receivers = await Promise.all(
    Array.from({ length: 2 * PLACES.length }, (_, index) => {
      const [place, user, room] = [PLACES[index % 4], users[(index + (index >> 2)) % 4], rooms[index % 3]];
      if (!place || !user || !room) throw new Error('there are fewer places than connections');
      return receiver(place, { mid: user.mid, room_id: room.room.id, op }, [user.pushes, room.pushes]);
    }),
  );
  return { streams: [...users, ...rooms].map(({ pushes }) => pushes), receivers };
}

test.each(Object.keys(PUSHERS) as (keyof typeof PUSHERS)[])(
  '500 pushes in a row to one user, by %s, arrive all, once and in order at each of its connections',
  async (kind) => {
    const [mid, op] = [newMid(), newOp()];
    const pushes = new NumberedPushes('user', { mid }, op);
    const receivers = await Promise.all(PLACES.map((place) => receiver(place, { mid, op }, [pushes])));
    await pushAll(openPusher(kind), [pushes], 500, new Random(SEED));
    expect(await faultsWithin(receivers, 10_000)).toEqual(NO_FAULTS);
    expect(receivers.map(({ count }) => count)).toEqual([500, 500, 500, 500]);
  },
);

test.each(Object.keys(PUSHERS) as (keyof typeof PUSHERS)[])(
  '1,500 pushes of one pusher to several rooms and users, by %s, arrive all, once and in order',
  async (kind) => {
    const { streams, receivers } = await crowd();
    await pushAll(openPusher(kind), streams, 1_500, new Random(SEED));
    expect(await faultsWithin(receivers, 10_000)).toEqual(NO_FAULTS);
    expect(streams.reduce((sum, { next }) => sum + next, 0)).toBe(1_500);
    expect(receivers.every(({ count }) => count > 200)).toBe(true);
  },
);

test(
  `they do so too when jobs are killed in the middle of a batch and another takes over (seed ${SEED})`,
  async () => {
    const random = new Random(SEED);
    const { streams, receivers } = await crowd();
    const stream = openPusher('a stream without waiting');
    const http = openPusher('calls of the HTTP API one after the other');
    const jobs = ['job-1', 'job-2'];
    const story: string[] = [];
    for (let kill = 0; kill < JOB_KILLS; kill += 1) {
      // Both at once, each to half of the streams, so that there is order to keep.
      const before = received(receivers);
      const pushing = Promise.all([
        pushAll(stream, streams.slice(0, 4), 1_500, random),
        pushAll(http, streams.slice(4), 300, random),
      ]);
      const killAt = before + 1 + random.below(2_000);
      while (received(receivers) < killAt) await sleep(1);
      const victim = random.pick(jobs);
      await cluster.kill(victim);
      story.push(`${victim} killed after ${received(receivers) - before} of the round's deliveries`);
      jobs.splice(jobs.indexOf(victim), 1);
      // The one that is left takes over; every second time a new one comes in between.
      const replacement = kill % 2 === 1 ? cluster.add('job') : undefined;
      await pushing;
      const faults = await faultsWithin(receivers, TAKEOVER_MS);
      expect({ story, ...faults }).toEqual({ story, ...NO_FAULTS });
      jobs.push(await (replacement ?? cluster.add('job')));
    }
    expect(streams.reduce((sum, { next }) => sum + next, 0)).toBe(JOB_KILLS * 1_800);
  },
  30_000 + JOB_KILLS * (TAKEOVER_MS + 15_000),
);

function received(receivers: readonly Receiver[]): number {
  return receivers.reduce((sum, { count }) => sum + count, 0);
}
