import { setTimeout as sleep } from 'node:timers/promises';

import { credentials } from '@grpc/grpc-js';
import type { PushRequest } from '@halley/cluster/grpc/gen/halley/push/v1/PushRequest';
import type { Schedule__Output } from '@halley/cluster/grpc/gen/halley/push/v1/Schedule';
import { protos } from '@halley/cluster/grpc/protos';
import { afterAll, beforeAll, expect, test } from '@jest/globals';

import { startCluster, type TestCluster } from '../harness/cluster.js';
import type { GoimClient } from '../harness/goim-client.js';
import { unary } from '../harness/grpc.js';
import { pushClient } from '../harness/pushers.js';
import { connectTo } from '../harness/traffic.js';
import { newKey, newMid, newOp, newRoom } from '../harness/unique.js';
import { eventually } from '../harness/within.js';

/** How many pushes, over how long. */
const PUSHES = Number(process.env['HALLEY_TEST_SCHEDULES'] ?? 240);
const SPAN_MS = Number(process.env['HALLEY_TEST_SCHEDULE_SPAN_MS'] ?? 4_000);
/** A job that was killed is known to be gone after its session with Kafka, 6 s. */
const TAKEOVER_MS = 30_000;
const LATE_MS = 2_000;

let cluster: TestCluster;
let client: GoimClient;
let push: ReturnType<typeof pushClient>;
let schedules: InstanceType<typeof protos.halley.push.v1.ScheduleService>;
const shown: { readonly text: string; readonly atMs: number }[] = [];
const mid = newMid();
const room = newRoom();
const op = newOp();
const toUser = { users: { mids: [mid.toString()] } };
const toRoom = { room: room.id };

beforeAll(async () => {
  cluster = await startCluster({ comets: 1, logics: 1, jobs: 2 });
  push = pushClient(cluster.address('logic-1', 'grpc'));
  schedules = new protos.halley.push.v1.ScheduleService(
    cluster.address('logic-1', 'grpc'),
    credentials.createInsecure(),
  );
  client = await connectTo(cluster, 'comet-1', 'tcp');
  await client.auth({ mid, key: newKey(), room_id: room.id, accepts: [op] });
  void receive();
}, 120_000);

afterAll(async () => {
  client?.close();
  push?.close();
  schedules?.close();
  await cluster?.stop();
}, 20_000);

async function receive(): Promise<void> {
  for (;;) {
    const frame = await client.next(600_000).catch(() => undefined);
    if (!frame) return;
    if (frame.op === op) shown.push({ text: frame.body.toString(), atMs: Date.now() });
  }
}

async function pushAll(requests: readonly PushRequest[]): Promise<void> {
  for (let at = 0; at < requests.length; at += 100) {
    const batch = { requests: requests.slice(at, at + 100) };
    const { results } = await unary(push.PushBatch.bind(push), batch);
    expect(results?.filter(({ outcome }) => outcome !== 'OUTCOME_OK')).toEqual([]);
  }
}

const request = (id: string, fields: Partial<PushRequest>): PushRequest => ({
  id,
  operation: op,
  body: Buffer.from(id),
  target: toUser,
  ...fields,
});
const timesOf = (prefix: string): Map<string, number[]> => {
  const times = new Map<string, number[]>();
  for (const { text, atMs } of shown) {
    if (text.startsWith(prefix)) times.set(text, [...(times.get(text) ?? []), atMs]);
  }
  return times;
};
const get = (id: string): Promise<Schedule__Output> =>
  unary(schedules.GetSchedule.bind(schedules), { id }) as Promise<Schedule__Output>;

test('each fires once, in order, never early nor late, though one of two jobs is killed while they fire', async () => {
  const base = Date.now() + 1_500;
  const pushes = Array.from({ length: PUSHES }, (_, index) => ({
    id: `fire ${index}`,
    at: base + Math.floor((index * SPAN_MS) / PUSHES / 50) * 50,
    target: index % 4 === 3 ? toRoom : toUser,
  }));
  await pushAll(pushes.map(({ id, at, target }) => request(id, { deliver_at_ms: at, target })));
  await sleep(base + SPAN_MS / 2 - Date.now());
  await cluster.kill('job-1');
  await eventually(
    () => timesOf('fire'),
    ({ size }) => size === PUSHES,
    SPAN_MS + TAKEOVER_MS,
    50,
  );
  const times = timesOf('fire');
  expect(pushes.filter(({ id }) => times.get(id)?.length !== 1).map(({ id }) => id)).toEqual([]);
  expect(pushes.filter(({ id, at }) => (times.get(id)?.[0] ?? 0) < at)).toEqual([]);
  for (const target of [toUser, toRoom]) {
    const own = pushes.filter((one) => one.target === target).map(({ id }) => id);
    expect(shown.map(({ text }) => text).filter((text) => own.includes(text))).toEqual(own);
  }
  const lateMs = await Promise.all(
    pushes.map(async ({ id, at }) => {
      const { state, fired_at_ms } = await get(id);
      expect(state).toBe('SCHEDULE_STATE_FIRED');
      return Number(fired_at_ms) - at;
    }),
  );
  expect(Math.min(...lateMs)).toBeGreaterThanOrEqual(0);
  expect(Math.max(...lateMs)).toBeLessThan(LATE_MS);
}, 90_000);

test('what is told as cancelled is never shown, what is too late is shown once', async () => {
  const at = Date.now() + 1_000;
  const ids = Array.from({ length: 60 }, (_, index) => `cancel ${index}`);
  await pushAll(ids.map((id) => request(id, { deliver_at_ms: at })));
  const answers = await Promise.all(
    ids.map(async (id, index) => {
      await sleep(at - 60 + index * 3 - Date.now());
      return unary(schedules.Cancel.bind(schedules), { id }).then(
        () => 'cancelled',
        (error: { readonly metadata?: { get(name: string): unknown[] } }) =>
          String(error.metadata?.get('halley-code')[0]),
      );
    }),
  );
  expect(answers.filter((answer) => !['cancelled', 'too_late'].includes(answer))).toEqual([]);
  expect(answers[0]).toBe('cancelled');
  expect(answers.at(-1)).toBe('too_late');
  const late = ids.filter((_, index) => answers[index] === 'too_late');
  await eventually(
    () => timesOf('cancel'),
    ({ size }) => size >= late.length,
    10_000,
    50,
  );
  // Anything too many would be there as well, in the order of the stream.
  await pushAll([request('last', {})]);
  await eventually(
    () => timesOf('last'),
    ({ size }) => size === 1,
    10_000,
    50,
  );
  expect(shown.map(({ text }) => text).filter((text) => text.startsWith('cancel'))).toEqual(late);
}, 60_000);

test('a group is one message, and a recurring push one at each of its times', async () => {
  const group = { key: 'likes', window_ms: 60_000, max_count: 3 };
  await pushAll(['g1', 'g2', 'g3'].map((id) => request(id, { group })));
  await unary(schedules.PutRecurring.bind(schedules), {
    name: 'tick',
    cron: '* * * * * *',
    push: { ...request('', {}), body: Buffer.from('tick') },
  });
  await eventually(
    () => shown.filter(({ text }) => text === 'tick').length,
    (ticks) => ticks >= 2,
    10_000,
    50,
  );
  await unary(schedules.DeleteRecurring.bind(schedules), { name: 'tick' });
  const digests = shown.filter(({ text }) => text.startsWith('{"group"'));
  expect(digests.map(({ text }) => JSON.parse(text) as object)).toMatchObject([
    { group: 'likes', count: 3, items: ['g1', 'g2', 'g3'].map((id) => ({ id, body: id })) },
  ]);
}, 30_000);
