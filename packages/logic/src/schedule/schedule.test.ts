import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

import { codec, protos } from '@halley/cluster/grpc/protos';
import { HalleyError } from '@halley/protocol/error';
import type { ConnectionKey, MessageId, UserId } from '@halley/protocol/ids';
import { silentLogger } from '@halley/service/log';
import { Metrics } from '@halley/service/metrics';
import { EmbeddedRoutes } from '@halley/store/routes/embedded';
import { EmbeddedSchedules } from '@halley/store/schedule/embedded';
import type { NewSchedule, PutAnswer } from '@halley/store/schedule/schedules';
import { shardOf, streamOf } from '@halley/store/shard';
import { afterAll, beforeAll, beforeEach, describe, expect, test } from '@jest/globals';

import { logicMetrics } from '../metrics.js';
import { PushAcceptor, type PushOrigin } from '../push/accept.js';
import { Admission } from '../push/admission.js';
import { Durability } from '../push/durability.js';
import type { PushMessage } from '../push/target.js';
import { FakeBus } from '../testing/fake-bus.js';
import { ScheduleCalls } from './calls.js';
import { Scheduler } from './scheduler.js';

const NOW = 1_900_000_000_000;
const MAX_BODY_BYTES = 1_000;
const scheduledCodec = codec(protos.halley.delivery.v1.Scheduled);
const clock = { now: () => NOW, monotonicMs: () => 0 };
const metrics = logicMetrics(new Metrics({ process: false }));
const durability = new Durability({ durableRooms: [], durableAll: false });
const limits = { maxBodyBytes: MAX_BODY_BYTES, maxTargets: 100, maxDelayMs: 86_400_000, durability };

let dataDir: string;
let schedules: EmbeddedSchedules;
let bus: FakeBus;
let routes: EmbeddedRoutes;
let acceptor: PushAcceptor;
let calls: ScheduleCalls;
let caller: string;
let callers = 0;
/** In the place of the store's. */
let put: ((rows: readonly NewSchedule[]) => Promise<readonly PutAnswer[]>) | undefined;

beforeAll(async () => {
  dataDir = await mkdtemp(join(tmpdir(), 'halley-scheduler-'));
  schedules = new EmbeddedSchedules({ dataDir, clock });
  await schedules.start();
});
afterAll(async () => {
  await schedules.stop();
  await rm(dataDir, { recursive: true });
});
beforeEach(() => {
  caller = `caller ${(callers += 1)}`;
  put = undefined;
  bus = new FakeBus();
  routes = new EmbeddedRoutes({ leaseMs: 60_000 });
  const scheduler = new Scheduler({
    schedules: { put: (rows) => (put ? put(rows) : schedules.put(rows)) },
    maxBodyBytes: MAX_BODY_BYTES,
    maxRecordBytes: 10_000,
    clock,
    metrics,
  });
  acceptor = new PushAcceptor({
    bus,
    routes,
    streams: { full: () => false, appliedAt: async () => undefined },
    admission: new Admission({ maxInFlight: 1_000, maxQueuedBytes: 1_000_000, clock }),
    maxRecordBytes: 10_000,
    clock,
    log: silentLogger(),
    metrics,
    scheduler,
  });
  calls = new ScheduleCalls({
    schedules,
    routes,
    limits,
    partitions: 24,
    maxRecordBytes: 10_000,
    clock,
    metrics,
  });
});

const push = (id: string, fields: Partial<PushMessage> = {}): PushMessage => ({
  id: id as MessageId,
  target: { kind: 'users', users: ['1', '2'] as UserId[] },
  operation: 1_000,
  body: Buffer.from(`body of ${id}`),
  durable: true,
  expireAtMs: 0,
  deliverAtMs: NOW + 5_000,
  ...fields,
});
const origin = (fields: Partial<PushOrigin> = {}): PushOrigin => ({
  lane: 'a',
  caller,
  traceparent: 'trace',
  ...fields,
});
const group = { key: 'likes', windowMs: 60_000, maxCount: 10 };
/** Takes one, and says what its caller is told. */
async function take(message: PushMessage) {
  const told = { at: 0, duplicate: false };
  await acceptor.accept(
    message,
    origin({
      onScheduled: (_push, at) => (told.at = at),
      onDuplicate: () => (told.duplicate = true),
    }),
  );
  return told;
}

describe('a push for later', () => {
  test('is kept as it is for each partition, its body once, and not written to the bus', async () => {
    expect(await take(push('a', { collapseKey: 'c', retentionMs: 7, bulk: true }))).toEqual({
      at: NOW + 5_000,
      duplicate: false,
    });
    expect(bus.calls).toEqual([]);
    const row = await schedules.get(caller, 'a');
    expect(row).toMatchObject({ state: 'waiting', dueAtMs: NOW + 5_000, acceptedAtMs: NOW });
    expect(Buffer.from(row!.body).toString()).toBe('body of a');
    const { records, bulk } = scheduledCodec.decode(row!.content);
    expect(bulk).toBe(true);
    expect(records.map(({ partition, key, push: one }) => [partition, key, one?.users])).toEqual(
      ['1', '2'].map((mid) => [shardOf(streamOf.user(mid as UserId), 24), `u/${mid}`, [mid]]),
    );
    for (const { push: one } of records) {
      expect(one).toMatchObject({
        id: 'a',
        operation: 1_000,
        class: 'CLASS_DURABLE',
        accepted_at_ms: '0',
        caller,
        traceparent: 'trace',
        collapse_key: 'c',
        retention_ms: '7',
      });
      expect(one?.body).toHaveLength(0);
    }
  });

  test('again is told as a duplicate with the first time; with another content it is a conflict', async () => {
    await take(push('a'));
    expect(await take(push('a', { deliverAtMs: NOW + 9_000 }))).toEqual({ at: NOW + 5_000, duplicate: true });
    await expect(take(push('a', { body: Buffer.from('other') }))).rejects.toMatchObject({
      code: 'id_conflict',
    });
    await calls.cancel(caller, 'a');
    await expect(take(push('a'))).rejects.toMatchObject({ code: 'id_conflict' });
  });

  test('goes with others of its call that are for now, each answered for itself', async () => {
    const { deliverAtMs: _, ...forNow } = push('now');
    const times = new Map<string, number>();
    const errors = await acceptor.acceptAll(
      [
        forNow,
        push('later'),
        push('large', { target: { kind: 'keys', keys: ['k'.repeat(10_000)] as ConnectionKey[] } }),
      ],
      origin({ onScheduled: ({ id }, at) => times.set(id, at) }),
    );
    expect(errors.map((error) => error?.code)).toEqual([undefined, undefined, 'invalid_argument']);
    expect(bus.pushes().every(({ id }) => id === 'now')).toBe(true);
    expect([...times]).toEqual([['later', NOW + 5_000]]);
  });

  test('is put in the order of the calls, in one transaction at a time', async () => {
    const batches: string[][] = [];
    let running = 0;
    put = async (rows) => {
      running += 1;
      expect(running).toBe(1);
      batches.push(rows.map(({ id }) => id));
      await new Promise((resolve) => setImmediate(resolve));
      running -= 1;
      return rows.map(() => ({ outcome: 'put', dueAtMs: 1 }));
    };
    const ids = Array.from({ length: 450 }, (_, index) => `id ${index}`);
    await Promise.all(ids.map((id) => take(push(id))));
    expect(batches.flat()).toEqual(ids);
    expect(batches.map(({ length }) => length)).toEqual([1, 200, 200, 49]);
  });

  test.each(['store_unavailable', 'schedule_unknown'] as const)(
    'of which the store says %s is answered so, and the next is tried',
    async (code) => {
      put = () => Promise.reject(new HalleyError(code));
      await expect(take(push('a'))).rejects.toMatchObject({ code });
      put = undefined;
      expect((await take(push('a'))).duplicate).toBe(false);
    },
  );

  test('is not put when its caller has stopped waiting', async () => {
    put = () => Promise.reject(new HalleyError('internal'));
    await expect(acceptor.accept(push('a'), origin({ deadlineMs: 0 }))).rejects.toMatchObject({
      code: 'deadline_exceeded',
    });
  });
});

describe('a push of a group', () => {
  test('waits with others of the same target, operation and class, as an item of their digest', async () => {
    const one = (id: string, fields = {}) => {
      const { deliverAtMs: _, ...rest } = push(id, { group, ...fields });
      return take(rest);
    };
    expect(await one('a')).toEqual({ at: NOW + 60_000, duplicate: false });
    await one('b', { body: Buffer.from([0xff, 0]) });
    await one('other operation', { operation: 1_001 });
    await one('other target', { target: { kind: 'users', users: ['1'] } });
    expect((await one('a')).duplicate).toBe(true);
    const [a, b, ...others] = await Promise.all(
      ['a', 'b', 'other operation', 'other target'].map((id) => schedules.get(caller, id)),
    );
    expect(JSON.parse(Buffer.from(a!.body).toString())).toEqual({ id: 'a', at_ms: NOW, body: 'body of a' });
    expect(JSON.parse(Buffer.from(b!.body).toString())).toEqual({ id: 'b', at_ms: NOW, body_base64: '/wA=' });
    expect(b!.digestId).toBe(a!.digestId);
    expect(new Set([a!.digestId, ...others.map((row) => row!.digestId)]).size).toBe(3);
    const digest = await calls.get(caller, a!.digestId!);
    expect(digest).toMatchObject({ kind: 'SCHEDULE_KIND_DIGEST', count: 2, group: 'likes' });
    expect(digest.target).toEqual({ users: { mids: ['1', '2'] } });
    const told = await calls.get(caller, 'b');
    expect(told).toMatchObject({ kind: 'SCHEDULE_KIND_MEMBER', digest_id: a!.digestId, operation: 1_000 });
    expect(told.body).toEqual(Buffer.from([0xff, 0]));
  });

  test('that does not fit into a digest, or expires before, is refused', async () => {
    const large = push('a', { group, body: Buffer.alloc(MAX_BODY_BYTES - 20, 'x') });
    await expect(take(large)).rejects.toMatchObject({ code: 'body_too_large' });
    await expect(take(push('a', { group, expireAtMs: NOW + 60_000 }))).rejects.toMatchObject({
      code: 'invalid_argument',
      message: expect.stringContaining('expire_at_ms'),
    });
  });
});

describe('what callers ask', () => {
  const request = (fields: object = {}) => ({
    name: 'stand-up',
    cron: '0 9 * * 1-5',
    time_zone: 'Europe/Berlin',
    push: {
      target: { target: 'keys' as const, keys: { keys: ['web'] } },
      operation: 1_000,
      body: Buffer.from('stand up'),
      id: '',
      class: 'DELIVERY_CLASS_UNSPECIFIED' as const,
      expire_at_ms: '0',
      deliver_at_ms: '0',
      delay_ms: '0',
      collapse_key: '',
      retention_ms: '0',
      priority: 'PRIORITY_BULK' as const,
      group: null,
      ...(fields as { push?: object }).push,
    },
    end_at_ms: '0',
    expire_after_ms: '5000',
    ...Object.fromEntries(Object.entries(fields).filter(([name]) => name !== 'push')),
  });

  test('a cancelled push is told so; one that fires is too late, another is not found', async () => {
    await take(push('a'));
    await calls.cancel(caller, 'a');
    expect(await calls.get(caller, 'a')).toMatchObject({
      state: 'SCHEDULE_STATE_CANCELLED',
      operation: 1_000,
      class: 'DELIVERY_CLASS_DURABLE',
      body_bytes: 9,
    });
    await take(push('due', { deliverAtMs: NOW }));
    await schedules.lease('job', { maxRows: 10, maxBytes: 10_000, leaseMs: 1_000 });
    await expect(calls.cancel(caller, 'due')).rejects.toMatchObject({ code: 'too_late' });
    await expect(calls.cancel(caller, 'nothing')).rejects.toMatchObject({ code: 'not_found' });
    await expect(calls.get(caller, 'nothing')).rejects.toMatchObject({ code: 'not_found' });
  });

  test('lists have pages, and what is no page or state is told', async () => {
    for (const id of ['a', 'b', 'c']) await take(push(id));
    const first = await calls.list(caller, { states: [], limit: 2, page: '' });
    expect(first.schedules?.map(({ id }) => id)).toEqual(['a', 'b']);
    const second = await calls.list(caller, { states: [], limit: 2, page: first.next_page ?? '' });
    expect([second.schedules?.map(({ id }) => id), second.next_page]).toEqual([['c'], '']);
    for (const wrong of [
      { page: 'x' },
      { limit: 1_001 },
      { states: ['SCHEDULE_STATE_UNSPECIFIED' as const] },
    ])
      await expect(calls.list(caller, { states: [], limit: 0, page: '', ...wrong })).rejects.toMatchObject({
        code: 'invalid_argument',
        message: expect.stringContaining(Object.keys(wrong)[0]!),
      });
  });

  test('a recurring push is answered with its next time, replaced under its name, listed and ended', async () => {
    await routes.claim({
      mid: '7' as UserId,
      key: 'web' as ConnectionKey,
      at: { node: 'comet-1' as never, incarnation: 'i' },
      counter: 1,
    });
    const made = await calls.putRecurring(caller, request());
    // Tuesday, 18:46 in Berlin.
    expect(new Date(Number(made.next_at_ms)).toISOString()).toBe('2030-03-18T08:00:00.000Z');
    const again = await calls.putRecurring(caller, request({ cron: '*/5 * * * * *', time_zone: '' }));
    expect([again.next_at_ms, again.time_zone]).toEqual([NOW + 5_000, 'UTC']);
    const read = await calls.getRecurring(caller, 'stand-up');
    expect(read).toMatchObject({ cron: '*/5 * * * * *', expire_after_ms: 5_000, missed: 0, last_at_ms: 0 });
    expect(read.push).toMatchObject({
      target: { keys: { keys: ['web'] } },
      body: Buffer.from('stand up'),
      priority: 'PRIORITY_BULK',
    });
    const row = await schedules.getRecurring(caller, 'stand-up');
    expect(scheduledCodec.decode(row!.content).records[0]).toMatchObject({
      partition: shardOf(streamOf.user('7' as UserId), 24),
      push: { key_owners: ['7'] },
    });
    await calls.putRecurring(caller, request({ name: 'a' }));
    const list = await calls.listRecurring(caller, { limit: 1, page: '' });
    expect([list.recurring?.map(({ name }) => name), list.next_page]).toEqual([['a'], 'a']);
    const rest = await calls.listRecurring(caller, { limit: 1, page: 'a' });
    expect([rest.recurring?.map(({ name }) => name), rest.next_page]).toEqual([['stand-up'], '']);
    await calls.deleteRecurring(caller, 'a');
    await expect(calls.deleteRecurring(caller, 'a')).rejects.toMatchObject({ code: 'not_found' });
    await expect(calls.getRecurring(caller, 'a')).rejects.toMatchObject({ code: 'not_found' });
  });

  test.each([
    [{ name: '' }, 'name: '],
    [{ name: 'n'.repeat(101) }, 'name: '],
    [{ cron: 'now' }, 'cron: '],
    [{ cron: '0 0 30 2 *' }, 'cron: never'],
    [{ time_zone: 'Moon' }, 'time_zone: '],
    [{ end_at_ms: '5' }, 'end_at_ms: '],
    [{ expire_after_ms: '-1' }, 'expire_after_ms: '],
    [{ push: { id: 'a' } }, 'push.id: '],
    [{ push: { delay_ms: '1' } }, 'push.delay_ms: '],
    [{ push: { expire_at_ms: '1' } }, 'push.expire_at_ms: '],
    [{ push: { group: { key: 'a', window_ms: '1', max_count: 1 } } }, 'push.group: '],
    [{ push: { target: null } }, 'push.target: '],
  ])('a recurring push with %j is refused with the field that is wrong', async (fields, message) => {
    await expect(calls.putRecurring(caller, request(fields))).rejects.toMatchObject({
      code: 'invalid_argument',
      message: expect.stringContaining(message),
    });
  });
});
