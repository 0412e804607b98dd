import { eventCodec } from '@halley/cluster/grpc/event-codec';
import { Metrics } from '@halley/service/metrics';
import { silentLogger } from '@halley/service/log';
import { type ReadRecord, Topic } from '@halley/store/bus/bus';
import { beforeEach, describe, expect, test } from '@jest/globals';

import type { BadRecord } from '../consume/push-record.js';
import { until } from '../testing/rig.js';
import { TestClock } from '../testing/test-clock.js';
import { Gate } from './gate.js';
import { WebhookMetrics } from './metrics.js';
import type { WebhookEvent } from './payload.js';
import type { Posted } from './poster.js';
import { WebhookLane } from './webhook-lane.js';

let clock: TestClock;
let attempts: string[];
let script: (event: WebhookEvent, attempt: number) => Posted | Promise<Posted>;
let letters: { offset: number; reason: string; endpoint: string | undefined }[];
let lane: WebhookLane;
let slept: number[];
let next = 0;

const taken: Posted = { result: 'taken' };
const failed: Posted = { result: 'failed', why: 'status 500' };

/** A lane of which time passes only while it waits. */
const open = (limits: object = {}): void => {
  const tries = new Map<string, number>();
  const after = (ms: number, run: () => void): void => {
    clock.advance(ms);
    setImmediate(run);
  };
  lane = new WebhookLane(Topic.Events, 3, {
    endpoint: { name: 'shop', kinds: ['read', 'connected'] },
    limits: { maxUndone: 4, baseBackoffMs: 100, maxBackoffMs: 1_000, maxAgeMs: 60_000, ...limits },
    post: async (event) => {
      const attempt = (tries.get(event.id) ?? 0) + 1;
      tries.set(event.id, attempt);
      attempts.push(event.id);
      return script(event, attempt);
    },
    gate: new Gate({ concurrency: 2, baseBackoffMs: 100, clock, after }),
    deadLetters: {
      write: async (_at, { offset, headers }, why: BadRecord) => {
        letters.push({ offset, reason: why.reason, endpoint: headers['webhook-endpoint'] });
        return true;
      },
    },
    metrics: new WebhookMetrics(new Metrics({ process: false }), clock),
    clock,
    log: silentLogger(),
    sleep: async (ms) => {
      slept.push(ms);
      clock.advance(ms);
      await new Promise((resolve) => setImmediate(resolve));
    },
  });
};

beforeEach(() => {
  clock = new TestClock();
  attempts = [];
  letters = [];
  slept = [];
  next = 0;
  script = () => taken;
  open();
});

const record = (id: string, mid: string, headers = {}, kind: 'read' | 'offline' = 'read'): ReadRecord => {
  next += 1;
  const value = eventCodec.encode({ id, mid, at_ms: clock.now(), [kind]: {} });
  return { offset: next, key: mid, value, headers, timestampMs: clock.now() };
};
const take = (...records: ReadRecord[]): Promise<void> =>
  lane.take({ topic: Topic.Events, partition: 3, records, highWatermark: next + 1 });

test('events of one user go one after another, whatever fails; those of another beside them', async () => {
  script = async ({ id }, attempt) => (id === 'a1' && attempt < 4 ? failed : taken);
  await take(record('a1', '1'), record('a2', '1'), record('b1', '2'), record('a3', '1'));
  await lane.drained();
  expect(attempts.filter((id) => id !== 'b1')).toEqual(['a1', 'a1', 'a1', 'a1', 'a2', 'a3']);
  expect(attempts.indexOf('b1')).toBeLessThan(3);
  expect(lane.offsets.committable).toBe(5);
});

test('nothing is committed above what the endpoint has not taken, and no more than the window is read', async () => {
  let answer = (_posted: Posted): void => undefined;
  script = ({ id }) => (id === 'a1' ? new Promise((resolve) => (answer = resolve)) : taken);
  const all = take(...['a1', 'b', 'c', 'd', 'e'].map((id, index) => record(id, `${index + 2}`)));
  await until(() => lane.offsets.undone === 1);
  expect(attempts).toEqual(['a1', 'b', 'c', 'd']);
  expect(lane.offsets.committable).toBeUndefined();
  answer(taken);
  await all;
  await lane.drained();
  expect(lane.offsets.committable).toBe(6);
});

test('a batch that comes again sends nothing twice', async () => {
  const records = [record('a', '1'), record('b', '2')];
  await take(...records);
  await take(...records, record('c', '3'));
  await lane.drained();
  expect(attempts).toEqual(['a', 'b', 'c']);
});

test('what the endpoint does not want is passed over: other kinds, what is for another endpoint, what is no event', async () => {
  await take(
    record('offline', '1', {}, 'offline'),
    record('theirs', '1', { 'webhook-endpoint': 'other' }),
    { ...record('x', '1'), value: Buffer.from([255]) },
    record('ours', '1', { 'webhook-endpoint': 'shop' }),
  );
  await lane.drained();
  expect(attempts).toEqual(['ours']);
  expect(lane.offsets.committable).toBe(5);
});

describe('is put aside', () => {
  test('at once when the endpoint is gone', async () => {
    script = () => ({ result: 'gone' });
    await take(record('a', '1'));
    await lane.drained();
    expect(attempts).toEqual(['a']);
    expect(letters).toEqual([{ offset: 1, reason: 'webhook_gone', endpoint: 'shop' }]);
  });

  test('after three attempts when it is refused as it is', async () => {
    script = ({ id }) => (id === 'a' ? { result: 'refused', why: 'status 422' } : taken);
    await take(record('a', '1'), record('b', '1'));
    await lane.drained();
    expect(attempts).toEqual(['a', 'a', 'a', 'b']);
    expect(letters).toEqual([{ offset: 1, reason: 'webhook_refused', endpoint: 'shop' }]);
  });

  test('after so long, and not before an attempt', async () => {
    script = () => failed;
    const old = record('a', '1');
    clock.advance(100_000);
    await take(old, record('b', '2'));
    await lane.drained();
    expect(attempts.filter((id) => id === 'a')).toHaveLength(1);
    expect(attempts.filter((id) => id === 'b').length).toBeGreaterThan(10);
    expect(letters.map(({ reason }) => reason)).toEqual(['webhook_late', 'webhook_late']);
  });

  test('when it holds up others that the endpoint takes', async () => {
    script = ({ id }) => (id === 'bad' ? failed : taken);
    await take(record('bad', '1'), ...['b', 'c', 'd', 'e'].map((id, index) => record(id, `${index + 2}`)));
    await lane.drained();
    expect(letters).toEqual([{ offset: 1, reason: 'webhook_held_up', endpoint: 'shop' }]);
    expect(attempts.filter((id) => id === 'bad')).toHaveLength(10);
  });
});

test('an endpoint says when to come again', async () => {
  script = (_event, attempt) =>
    attempt === 1 ? { result: 'failed', why: 'status 429', retryAfterMs: 30_000 } : taken;
  await take(record('a', '1'));
  await lane.drained();
  expect(slept).toEqual([30_000]);
});

test('one that settles waits for answers alone, and sends nothing more', async () => {
  let answer = (_posted: Posted): void => undefined;
  script = ({ id }) => (id === 'a' ? failed : new Promise((resolve) => (answer = resolve)));
  open({ maxAgeMs: 1e12 });
  await take(record('b', '2'), record('b2', '2'), record('a', '1'));
  await until(() => attempts.includes('b'));
  const settled = lane.settle();
  const sent = [...attempts];
  answer(taken);
  await settled;
  await until(() => lane.offsets.undone === 2);
  expect(attempts).toEqual(sent);
  expect(lane.offsets.committable).toBe(2);
});

test('an end leaves what is under way undone', async () => {
  script = () => new Promise((resolve) => setImmediate(() => resolve(failed)));
  const all = take(...['a', 'b', 'c', 'd', 'e'].map((id, index) => record(id, `${index + 2}`)));
  lane.end();
  await expect(all).rejects.toThrow('not read here any more');
  await lane.drained();
  expect(lane.offsets.committable).toBeUndefined();
});
