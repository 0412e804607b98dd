import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

import { HalleyError } from '@halley/protocol/error';
import { Metrics } from '@halley/service/metrics';
import { EmbeddedDeadLetters } from '@halley/store/dead/embedded';
import type { NewDeadLetter } from '@halley/store/dead/dead';
import { afterAll, beforeAll, beforeEach, expect, test } from '@jest/globals';

import { logicMetrics } from '../metrics.js';
import { FakeBus } from '../testing/fake-bus.js';
import { DeadLetters } from './dead-letters.js';

let dataDir: string;
let dead: EmbeddedDeadLetters;
let bus: FakeBus;
let letters: DeadLetters;
let now = 1_000;
let places = 0;

beforeAll(async () => {
  dataDir = await mkdtemp(join(tmpdir(), 'halley-dead-'));
  dead = new EmbeddedDeadLetters({ dataDir });
  await dead.start();
});
afterAll(async () => {
  await dead.stop();
  await rm(dataDir, { recursive: true });
});
beforeEach(async () => {
  await dead.retain({ sinceMs: 0, maxLetters: 0 });
  bus = new FakeBus();
  const clock = { now: () => now, monotonicMs: () => now };
  const metrics = logicMetrics(new Metrics({ process: false }));
  letters = new DeadLetters({ dead, bus, clock, metrics });
});

const add = async (fields: Partial<NewDeadLetter> = {}): Promise<string> => {
  places += 1;
  await dead.add('e', [
    {
      place: { partition: 0, offset: places },
      atMs: 5,
      topic: 'halley-push',
      partition: 7,
      offset: 1_000 + places,
      reason: 'undecodable',
      detail: '',
      key: 'u/1',
      headers: { 'halley-goim': '1:2:3', trace: 't' },
      value: new Uint8Array([1, 2]),
      valueBytes: 2,
      cut: false,
      ...fields,
    },
  ]);
  return (await dead.list({ maxLetters: 1 })).letters[0]!.id;
};
const ask = { limit: 0, before: '0', topic: '', reason: '' };
const codes = async (ids: readonly string[], force = false) =>
  (await letters.requeue(ids, force)).map(({ id, error }) => [id, error?.code]);

test('a requeue appends the record to where it came from, marked and without what we had put to it', async () => {
  const id = await add();
  expect(await codes([id])).toEqual([[id, undefined]]);
  expect(bus.calls).toHaveLength(1);
  expect(bus.calls[0]).toMatchObject({ topic: 'halley-push' });
  expect(bus.calls[0]!.records).toEqual([
    {
      partition: 7,
      key: 'u/1',
      value: expect.objectContaining([1, 2]),
      headers: { trace: 't', 'halley-requeued': id },
    },
  ]);
  expect((await letters.get(id)).requeuedAtMs).toBe(now);
});

test('a second one is refused, unless it is forced', async () => {
  const [one, other] = [await add(), await add()];
  expect(await codes([one, '999999', other, one])).toEqual([
    [one, undefined],
    ['999999', 'not_found'],
    [other, undefined],
    [one, 'already_requeued'],
  ]);
  expect(await codes([one], true)).toEqual([[one, undefined]]);
  expect(bus.calls).toHaveLength(3);
});

test('one that the bus refuses can be tried again; one that may be there cannot without force', async () => {
  const id = await add();
  bus.answer = () => new HalleyError('bus_refused');
  expect(await codes([id])).toEqual([[id, 'bus_refused']]);
  bus.answer = () => new HalleyError('bus_unknown');
  expect(await codes([id])).toEqual([[id, 'bus_unknown']]);
  now += 1;
  expect(await codes([id])).toEqual([[id, 'already_requeued']]);
});

test('a letter whose value was cut is never requeued', async () => {
  const id = await add({ cut: true, valueBytes: 99 });
  expect(await codes([id], true)).toEqual([[id, 'invalid_argument']]);
  expect(bus.calls).toEqual([]);
  expect((await letters.get(id)).requeuedAtMs).toBe(0);
});

test('lists are paged, 50 at a time where nothing is said, and wrong questions name the field', async () => {
  for (let count = 0; count < 52; count += 1) await add(count === 3 ? { topic: 'goim-push-topic' } : {});
  const first = await letters.list(ask);
  expect([first.letters.length, first.more]).toEqual([50, true]);
  const rest = await letters.list({ ...ask, before: first.letters.at(-1)!.id });
  expect([rest.letters.length, rest.more]).toEqual([2, false]);
  expect((await letters.list({ ...ask, topic: 'goim-push-topic' })).letters).toHaveLength(1);
  expect((await letters.list({ ...ask, reason: 'empty', limit: 3 })).letters).toEqual([]);
  const message = (text: string) => ({ code: 'invalid_argument', message: expect.stringContaining(text) });
  await expect(letters.list({ ...ask, limit: 1_001 })).rejects.toMatchObject(message('limit:'));
  await expect(letters.list({ ...ask, before: 'x' })).rejects.toMatchObject(message('before:'));
  await expect(letters.get('-1')).rejects.toMatchObject(message('id:'));
  await expect(letters.get('12345')).rejects.toMatchObject({ code: 'not_found' });
  await expect(letters.requeue([], false)).rejects.toMatchObject(message('ids:'));
  await expect(letters.requeue(['1', 'a'], false)).rejects.toMatchObject(message('ids[1]:'));
});
