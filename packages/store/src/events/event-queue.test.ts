import { HalleyError } from '@halley/protocol/error';
import { silentLogger } from '@halley/service/log';
import { Metrics } from '@halley/service/metrics';
import { beforeEach, expect, test } from '@jest/globals';

import { type BusRecord, RecordsTooLarge, Topic } from '../bus/bus.js';
import { shardOf } from '../shard.js';
import type { EventKind } from './config.js';
import { eventIdOf } from './event.js';
import { EventQueue } from './event-queue.js';

let metrics: Metrics;
let written: BusRecord[][];
let fail: (records: readonly BusRecord[]) => Error | undefined;
let gate: Promise<void>;

beforeEach(() => {
  metrics = new Metrics({ process: false });
  written = [];
  fail = () => undefined;
  gate = Promise.resolve();
});

const queue = (kinds: EventKind[] = ['read', 'offline'], maxQueued = 3): EventQueue =>
  new EventQueue({
    bus: {
      partitions: () => 8,
      produce: async (topic, records) => {
        expect(topic).toBe(Topic.Events);
        await gate;
        const error = fail(records);
        if (error) throw error;
        written.push([...records]);
        return [];
      },
    },
    config: { kinds, maxQueued },
    metrics,
    log: silentLogger(),
    wait: async () => undefined,
  });
const event = (text: string, kind: EventKind = 'read') => ({
  kind,
  key: '7',
  stream: 'u/7',
  encode: () => Buffer.from(text),
});
const texts = () => written.map((batch) => batch.map(({ value }) => Buffer.from(value).toString()));
const count = async (name: string, labels: object) =>
  (await metrics.registry.getSingleMetric(name)?.get())?.values
    .filter(({ labels: has }) =>
      Object.entries(labels).every(([label, value]) => has[label as never] === value),
    )
    .reduce((sum, { value }) => sum + value, 0) ?? 0;

test('writes what is offered in one turn together, in order, where the pushes of its user are', async () => {
  const events = queue();
  events.offer(event('a'));
  events.offer(event('b'));
  events.offer(event('not wanted', 'connected'));
  await events.stop(1_000);
  expect(texts()).toEqual([['a', 'b']]);
  expect(written[0]![0]).toMatchObject({ key: '7', partition: shardOf('u/7', 8) });
  expect(await count('halley_events_written_total', { kind: 'read' })).toBe(2);
});

test('repeats what fails before anything behind it, and counts the newest that has no room', async () => {
  let failures = 3;
  fail = () => ((failures -= 1) >= 0 ? new HalleyError('bus_unknown') : undefined);
  let open = (): void => undefined;
  gate = new Promise((resolve) => (open = resolve));
  const events = queue();
  events.offer(event('a'));
  await Promise.resolve();
  for (const text of ['b', 'c', 'd', 'e']) events.offer(event(text));
  open();
  await events.stop(1_000);
  expect(texts().flat()).toEqual(['a', 'b', 'c', 'd']);
  expect(await count('halley_events_lost_total', { kind: 'read', reason: 'queue_full' })).toBe(1);
  expect(await count('halley_events_write_failures_total', { code: 'bus_unknown' })).toBe(3);
});

test('never loses one that somebody waits for, and calls back once it is durable', async () => {
  const done: number[] = [];
  const events = queue(['offline'], 1);
  for (const at of [0, 1, 2]) events.offer({ ...event(`${at}`, 'offline'), done: () => done.push(at) });
  expect(done).toEqual([]);
  await events.stop(1_000);
  expect(done).toEqual([0, 1, 2]);
});

test('one that nobody wants is done at once', () => {
  let done = 0;
  queue([]).offer({ ...event('x'), done: () => (done += 1) });
  expect(done).toBe(1);
});

test('one that is too large by itself is lost, and those beside it are written', async () => {
  fail = (records) =>
    records.some(({ value }) => value.byteLength > 3) ? new RecordsTooLarge(records.length) : undefined;
  const events = queue();
  for (const text of ['a', 'large', 'b']) events.offer(event(text));
  await events.stop(1_000);
  expect(texts()).toEqual([['a'], ['b']]);
  expect(await count('halley_events_lost_total', { reason: 'too_large' })).toBe(1);
});

test('one that was refused together with the records of others is not taken for too large', async () => {
  let refusals = 2;
  fail = () => ((refusals -= 1) >= 0 ? new RecordsTooLarge(2) : undefined);
  const events = queue();
  events.offer(event('a'));
  await events.stop(1_000);
  expect(texts()).toEqual([['a']]);
});

test('what is not written in time when it stops is lost and counted; what somebody waits for is not done', async () => {
  gate = new Promise(() => undefined);
  const events = queue();
  let done = false;
  events.offer(event('a'));
  await Promise.resolve();
  await Promise.resolve();
  events.offer(event('b'));
  events.offer({ ...event('c', 'offline'), done: () => (done = true) });
  await events.stop(1);
  events.offer(event('d'));
  expect(await count('halley_events_lost_total', { reason: 'stopped' })).toBe(2);
  expect(done).toBe(false);
});

test('an id stands for its facts, and holds no dot', () => {
  expect(eventIdOf('read', '1', 'u/1', 5)).toBe(eventIdOf('read', '1', 'u/1', 5));
  expect(eventIdOf('read', '1', 'u/1', 5)).not.toBe(eventIdOf('read', '1', 'u/15', ''));
  expect(eventIdOf('message_in', 'x')).toMatch(/^message_in-[\w-]{22}$/);
});
