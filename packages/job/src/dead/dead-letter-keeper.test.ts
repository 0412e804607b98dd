import { afterEach, beforeEach, expect, test } from '@jest/globals';
import { HalleyError } from '@halley/protocol/error';
import { systemClock } from '@halley/service/clock';
import { silentLogger } from '@halley/service/log';
import { Topic } from '@halley/store/bus/bus';
import type { DeadLetterStore } from '@halley/store/dead/dead';
import { EmbeddedDeadLetters } from '@halley/store/dead/embedded';

import { BatchConsumer } from '../consume/batch-consumer.js';
import { DeadLetters } from '../consume/dead-letter.js';
import { BadRecord } from '../consume/push-record.js';
import { JobMetrics } from '../metrics.js';
import { Rig, until } from '../testing/rig.js';
import { DeadLetterKeeper } from './dead-letter-keeper.js';
import { deadLetterRetention } from './dead-letter-retention.js';

const GROUP = 'halley-job-dead';
let rig: Rig;
let dead: EmbeddedDeadLetters;
let metrics: JobMetrics;
let consumer: BatchConsumer | undefined;

beforeEach(async () => {
  rig = await Rig.open();
  dead = new EmbeddedDeadLetters({ dataDir: rig.dataDir });
  await dead.start();
  metrics = new JobMetrics(rig.metrics, Date.now);
});
afterEach(async () => {
  await consumer?.stop(500);
  await dead.stop();
  await rig.close();
});

const shared = () => ({ bus: rig.bus, clock: systemClock, metrics, log: silentLogger() });
const putAside = async (
  value: Uint8Array,
  offset: number,
  why = new BadRecord('undecodable', 'invalid wire type'),
) => {
  const record = { offset, key: 'u/1', value, headers: { trace: 't' }, timestampMs: 5 };
  const at = { topic: Topic.Push, partition: 3 };
  await new DeadLetters(shared()).write(at, record, why, new AbortController().signal);
};
const keep = async (store: Pick<DeadLetterStore, 'add'>) => {
  const work = new DeadLetterKeeper({ ...shared(), dead: store, epoch: rig.bus.epoch });
  consumer = new BatchConsumer({ ...shared(), name: 'dead', group: GROUP, topic: Topic.Dead, work });
  await consumer.start();
};
const listed = async () => (await dead.list({ maxLetters: 100 })).letters;

test('what is put aside is listed with the record and where it stood, once, and committed afterwards', async () => {
  await putAside(Buffer.from('bad'), 42);
  await putAside(Buffer.alloc(950_000, 1), 43, new BadRecord('empty'));
  let away = 2;
  await keep({
    add: async (...letters) => {
      away -= 1;
      if (away >= 0) throw new HalleyError('store_unavailable');
      await dead.add(...letters);
      // Kept, and the answer is lost.
      if (away === -1) throw new HalleyError('store_unavailable');
    },
  });
  await until(async () => (await rig.bus.lag(GROUP, Topic.Dead)) === 0);
  const letters = await listed();
  expect(letters).toHaveLength(2);
  const small = letters.find(({ offset }) => offset === 42)!;
  const letter = (await dead.get(small.id))!;
  expect({ ...letter, value: Buffer.from(letter.value).toString() }).toEqual({
    id: small.id,
    atMs: expect.any(Number),
    topic: 'halley-push',
    partition: 3,
    offset: 42,
    reason: 'undecodable',
    detail: 'invalid wire type',
    key: 'u/1',
    headers: { trace: 't' },
    value: 'bad',
    valueBytes: 3,
    cut: false,
    requeuedAtMs: 0,
  });
  const large = (await dead.get(letters.find(({ offset }) => offset === 43)!.id))!;
  expect([large.cut, large.valueBytes, large.value.byteLength]).toEqual([true, 950_000, 900_000]);
  expect(await rig.count('halley_job_dead_letter_failures_total')).toBe(3);
});

test('what somebody else wrote there is listed, too', async () => {
  await rig.bus.produce(Topic.Dead, [{ partition: 0, key: 'k', value: Buffer.from('x') }]);
  await keep(dead);
  await until(async () => (await listed()).length === 1);
  expect((await listed())[0]).toMatchObject({ topic: '', reason: 'unknown', valueBytes: 1, cut: false });
});

test('what is too old or too many is removed', async () => {
  for (const offset of [1, 2, 3]) await putAside(Buffer.from('bad'), offset);
  await keep(dead);
  await until(async () => (await listed()).length === 3);
  const limits = { everyMs: 5, maxAgeMs: 60_000, maxLetters: 2 };
  const retention = deadLetterRetention({ ...shared(), ...limits, dead });
  await retention.start();
  await until(async () => (await listed()).length === 2);
  await retention.stop(100);
  expect(await rig.count('halley_job_dead_letters_removed_total')).toBe(1);
});
