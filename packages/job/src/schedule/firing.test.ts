import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

import { codec, protos } from '@halley/cluster/grpc/protos';
import { HalleyError } from '@halley/protocol/error';
import { silentLogger } from '@halley/service/log';
import { Metrics } from '@halley/service/metrics';
import { type BusRecord, RecordsTooLarge } from '@halley/store/bus/bus';
import { EmbeddedSchedules } from '@halley/store/schedule/embedded';
import type { NewMember, NewPush } from '@halley/store/schedule/schedules';
import { afterEach, beforeEach, describe, expect, test } from '@jest/globals';

import { recordCodec } from '../consume/push-record.js';
import { JobMetrics } from '../metrics.js';
import { ScheduleFiring } from './firing.js';

const scheduledCodec = codec(protos.halley.delivery.v1.Scheduled);
const START = 1_900_000_000_000;
const limits = { pollMs: 200, leaseMs: 1_200, maxRows: 4, maxBytes: 100_000 };

let dataDir: string;
let nowMs: number;
let schedules: EmbeddedSchedules;
let registered: Metrics;
/** What the bus says to each call; the last for all that follow. */
let answers: (Error | 'ok')[];
let produced: { topic: string; records: readonly BusRecord[] }[];

beforeEach(async () => {
  dataDir = await mkdtemp(join(tmpdir(), 'halley-firing-'));
  nowMs = START;
  answers = ['ok'];
  produced = [];
  registered = new Metrics({ process: false });
  schedules = new EmbeddedSchedules({ dataDir, clock: { now: () => nowMs } });
  await schedules.start();
});
afterEach(async () => {
  await schedules.stop();
  await rm(dataDir, { recursive: true });
});

function firing(owner = 'one'): ScheduleFiring {
  return new ScheduleFiring({
    schedules,
    bus: {
      produce: async (topic, records) => {
        const answer = answers.length > 1 ? answers.shift() : answers[0];
        if (answer !== 'ok') throw answer;
        produced.push({ topic, records });
        return [];
      },
    },
    owner,
    limits,
    maxRecordBytes: 50_000,
    metrics: new JobMetrics(owner === 'one' ? registered : new Metrics({ process: false }), () => nowMs),
    log: silentLogger(),
  });
}

const content = (fields: object = {}, bulk = false, group = '') =>
  scheduledCodec.encode({
    records: [
      {
        partition: 3,
        key: 'u/1',
        push: { operation: 1_000, class: 'CLASS_DURABLE', users: ['1'], ...fields },
      },
      {
        partition: 5,
        key: 'u/2',
        push: { operation: 1_000, class: 'CLASS_DURABLE', users: ['2'], ...fields },
      },
    ],
    bulk,
    group,
  });
const push = (id: string, dueAtMs: number, fields: Partial<NewPush> = {}): NewPush => ({
  kind: 'push',
  caller: 'shop',
  id,
  digest: id,
  acceptedAtMs: 1,
  expireAtMs: 0,
  dueAtMs,
  content: content(),
  body: Buffer.from(`body of ${id}`),
  ...fields,
});
const inBus = () =>
  produced.flatMap(({ topic, records }) =>
    records.map(({ partition, key, value, headers = {} }) => {
      const [first] = recordCodec.decode(value).pushes;
      return { topic, partition, key, headers, push: first! };
    }),
  );
const idsInBus = (partition = 3) =>
  inBus()
    .filter((record) => record.partition === partition)
    .map((record) => record.push.id);
const count = async (name: string): Promise<string[]> =>
  (await registered.registry.metrics()).split('\n').filter((line) => line.startsWith(name));
/** Steps until there is nothing to do now. */
async function settle(job: ScheduleFiring): Promise<number> {
  for (;;) {
    const waitMs = await job.step();
    if (waitMs > 0) return waitMs;
  }
}

describe('what is due', () => {
  test('is in the bus then, in each of its partitions, and not before', async () => {
    const job = firing();
    await schedules.put([push('a', START + 500, { expireAtMs: START + 9_000 })]);
    expect(await settle(job)).toBe(200);
    nowMs = START + 430;
    expect(await settle(job)).toBe(70);
    expect(produced).toEqual([]);
    nowMs = START + 503;
    expect(await settle(job)).toBe(200);
    expect(inBus()).toMatchObject(
      [3, 5].map((partition) => ({
        topic: 'halley-push',
        partition,
        headers: {},
        push: {
          id: 'a',
          caller: 'shop',
          operation: 1_000,
          body: Buffer.from('body of a'),
          accepted_at_ms: String(START + 503),
          expire_at_ms: String(START + 9_000),
        },
      })),
    );
    expect((await schedules.get('shop', 'a'))?.state).toBe('fired');
    expect(await count('halley_job_schedule_fired_total')).toEqual([
      'halley_job_schedule_fired_total{kind="push"} 1',
    ]);
    expect(await count('halley_job_schedule_lateness_seconds_sum')).toEqual([
      'halley_job_schedule_lateness_seconds_sum 0.003',
    ]);
  });

  test('in more than one batch keeps its order, and one that waits is no reason to wait', async () => {
    const job = firing();
    const ids = Array.from({ length: 11 }, (_, index) => `id ${index}`);
    await schedules.put([...ids.map((id) => push(id, START - 5)), push('later', START + 60_000)]);
    await settle(job);
    expect(idsInBus()).toEqual(ids);
    expect(produced.map(({ records }) => records.length)).toEqual([8, 8, 6]);
  });

  test('of priority bulk goes to its own topic; what is ephemeral says where it came from', async () => {
    await schedules.put([
      push('bulk', START, { content: content({}, true) }),
      push('ephemeral', START, { content: content({ class: 'CLASS_EPHEMERAL' }) }),
    ]);
    await settle(firing());
    expect(inBus().map(({ topic, push: { id } }) => [topic, id])).toEqual([
      ['halley-push', 'ephemeral'],
      ['halley-push', 'ephemeral'],
      ['halley-bulk', 'bulk'],
      ['halley-bulk', 'bulk'],
    ]);
    const sources = inBus().map(({ headers }) => headers['halley-goim']);
    expect(sources[0]).toMatch(/^schedule .{22}$/);
    expect(sources).toEqual([sources[0], sources[0], undefined, undefined]);
  });

  test('and a group is one push, its members in JSON', async () => {
    const member = (id: string, acceptedAtMs: number): NewMember => ({
      kind: 'member',
      caller: 'shop',
      id,
      digest: id,
      acceptedAtMs,
      expireAtMs: 0,
      group: 'g',
      item: Buffer.from(JSON.stringify({ id, at_ms: acceptedAtMs, body: `body of ${id}` })),
      windowMs: 1_000,
      maxCount: 100,
      maxBytes: 10_000,
      opens: { id: 'digest', content: content({}, false, 'likes "1"') },
    });
    await schedules.put([member('a', 7), member('b', 5), member('c', 9)]);
    await schedules.cancel('shop', 'c');
    nowMs += 1_000;
    await settle(firing());
    expect(idsInBus()).toEqual(['digest']);
    expect(JSON.parse(inBus()[0]!.push.body.toString())).toEqual({
      group: 'likes "1"',
      count: 2,
      first_at_ms: 5,
      last_at_ms: 7,
      items: [
        { id: 'a', at_ms: 7, body: 'body of a' },
        { id: 'b', at_ms: 5, body: 'body of b' },
      ],
    });
    expect((await schedules.get('shop', 'b'))?.state).toBe('fired');
  });
});

describe('trouble', () => {
  test('with the bus is waited out, in firing; it is written in order, with the same time', async () => {
    await schedules.put(['a', 'b', 'c'].map((id) => push(id, START)));
    answers = [new HalleyError('bus_unknown'), new HalleyError('overloaded'), 'ok'];
    await settle(firing());
    expect(idsInBus()).toEqual(['a', 'b', 'c']);
    expect((await count('halley_job_schedule_failures_total')).sort()).toEqual([
      'halley_job_schedule_failures_total{store="bus",code="bus_unknown"} 1',
      'halley_job_schedule_failures_total{store="bus",code="overloaded"} 1',
    ]);
  });

  test('a job that ends in the middle leaves it to another, once its lease ran out, under the same ids', async () => {
    await schedules.put([push('a', START), push('b', START)]);
    const dying = await schedules.lease('dying', { ...limits, maxRows: 1 });
    expect(dying.rows.map(({ id }) => id)).toEqual(['a']);
    const job = firing();
    nowMs += 1_100;
    await settle(job);
    expect(produced).toEqual([]);
    nowMs += 200;
    await settle(job);
    expect(idsInBus()).toEqual(['a', 'b']);
    expect(inBus().map(({ push: one }) => one.accepted_at_ms)).toEqual(
      [START, START, START + 1_300, START + 1_300].map(String),
    );
    expect(await count('halley_job_schedule_refired_total')).toEqual(['halley_job_schedule_refired_total 1']);
  });

  test('a push that the bus finds too large, or that is none, fails alone and is told', async () => {
    await schedules.put([
      push('a', START),
      push('rotten', START, { content: Buffer.from([0xff]) }),
      push('large', START, { body: Buffer.alloc(60_000) }),
      push('b', START),
    ]);
    // The brokers take less than is configured: not all together, and not the first of the second push.
    const tooLarge = (records: number) => new RecordsTooLarge(records);
    answers = [tooLarge(4), 'ok', 'ok', tooLarge(1), 'ok'];
    await settle(firing());
    expect(idsInBus()).toEqual(['a']);
    const states = await Promise.all(
      ['a', 'rotten', 'large', 'b'].map(async (id) => (await schedules.get('shop', id))?.state),
    );
    expect(states).toEqual(['fired', 'failed', 'failed', 'failed']);
    expect((await count('halley_job_schedule_failed_total')).sort()).toEqual([
      'halley_job_schedule_failed_total{reason="too_large"} 2',
      'halley_job_schedule_failed_total{reason="undecodable"} 1',
    ]);
  });

  test('a push that was refused together with the records of others is not taken for too large', async () => {
    await schedules.put([push('a', START)]);
    answers = [new RecordsTooLarge(3), new RecordsTooLarge(2), 'ok'];
    await settle(firing());
    expect(idsInBus()).toEqual(['a']);
    expect((await schedules.get('shop', 'a'))?.state).toBe('fired');
  });

  test('with the store is repeated: what was written is marked, and the loop goes on', async () => {
    await schedules.put([push('a', START)]);
    const finish = schedules.finish.bind(schedules);
    const next = schedules.next.bind(schedules);
    let failures = 2;
    schedules.finish = (owner, ended) =>
      (failures -= 1) > 0 ? Promise.reject(new HalleyError('store_unavailable')) : finish(owner, ended);
    let nextFailures = 2;
    schedules.next = () => ((nextFailures -= 1) > 0 ? Promise.reject(new Error('away')) : next());
    const job = firing();
    await job.start();
    for (;;) {
      if ((await schedules.get('shop', 'a'))?.state === 'fired') break;
      await new Promise((resolve) => setTimeout(resolve, 5));
    }
    await job.stop(1_000);
    expect(idsInBus()).toEqual(['a']);
  });
});

describe('a recurring push', () => {
  test('becomes a push at each of its times; after an outage the newest alone, the others counted', async () => {
    const job = firing();
    await schedules.putRecurring({
      caller: 'shop',
      name: 'tick',
      cron: '*/10 * * * * *',
      timeZone: 'UTC',
      endAtMs: START + 60_000,
      expireAfterMs: 4_000,
      content: content(),
      body: Buffer.from('tick'),
      digest: 'd',
      nextAtMs: START + 10_000,
    });
    nowMs = START + 9_900;
    expect(await settle(job)).toBe(100);
    nowMs = START + 10_000;
    await settle(job);
    expect(idsInBus()).toEqual([`tick@${START + 10_000}`]);
    expect(inBus()[0]!.push.expire_at_ms).toBe(String(START + 14_000));
    nowMs = START + 45_000;
    await settle(job);
    expect(idsInBus()).toEqual([START + 10_000, START + 40_000].map((at) => `tick@${at}`));
    nowMs = START + 3_600_000;
    await settle(job);
    expect(idsInBus().at(-1)).toBe(`tick@${START + 60_000}`);
    expect(await schedules.getRecurring('shop', 'tick')).toMatchObject({
      missed: 3,
      nextAtMs: undefined,
      lastAtMs: START + 60_000,
    });
    expect((await count('halley_job_schedule_occurrences_total')).sort()).toEqual([
      'halley_job_schedule_occurrences_total{result="missed"} 3',
      'halley_job_schedule_occurrences_total{result="scheduled"} 3',
    ]);
  });
});
