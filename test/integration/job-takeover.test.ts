import { afterAll, beforeAll, expect, test } from '@jest/globals';
import { type ChildProcess, spawn } from 'node:child_process';
import { randomUUID } from 'node:crypto';
import { fileURLToPath } from 'node:url';
import { createConnection } from 'mysql2/promise';
import { ZooKeeperRegistry } from '@halley/cluster/registry/zookeeper';
import { registryConfig } from '@halley/cluster/registry/config';
import type { ConnectionKey, RoomId, UserId } from '@halley/protocol/ids';
import { systemClock } from '@halley/service/clock';
import { silentLogger } from '@halley/service/log';
import { archiveConfig } from '@halley/store/archive/config';
import { MariadbArchive } from '@halley/store/archive/mariadb';
import { type BusRecord, Topic } from '@halley/store/bus/bus';
import { busConfig } from '@halley/store/bus/config';
import { KafkaBus } from '@halley/store/bus/kafka';
import { routesConfig } from '@halley/store/routes/config';
import { RedisRoutes } from '@halley/store/routes/redis';
import { streamsConfig } from '@halley/store/streams/config';
import { RedisStreams } from '@halley/store/streams/redis';
import { shardOf, streamOf } from '@halley/store/shard';
import { codec, protos } from '@halley/cluster/grpc/protos';
import { StreamReader } from '@halley/logic/streams/read';
import { mariadbUrl } from '@halley/services/mariadb';
import { recordCodec } from '@halley/job/consume/push-record';
import { FakeComet } from '../../packages/job/src/testing/fake-comet.js';

const MAIN = fileURLToPath(new URL('../../packages/job/dist/main.js', import.meta.url));
const run = randomUUID().slice(0, 8);
const env = `job-${run}`;
const group = `halley-job-${run}`;
const keyPrefix = `job-${run}:`;
const database = `job_${run}`;
const archiveUrl = mariadbUrl(process.env['HALLEY_TEST_MARIADB'] ?? '', database);
const log = silentLogger();
const goimCodec = codec(protos.goim.logic.PushMsg);
const MAX_RECORD_BYTES = busConfig.parse({}).maxRecordBytes;

let registry: ZooKeeperRegistry;
let bus: KafkaBus;
let routes: RedisRoutes;
let streams: RedisStreams;
let archive: MariadbArchive;
let comet: FakeComet;
const jobs: Job[] = [];

/** A job in a process of its own. */
class Job {
  readonly exited: Promise<number | null>;
  output = '';

  constructor(private readonly child: ChildProcess) {
    child.stderr?.on('data', (chunk: Buffer) => (this.output += chunk.toString()));
    this.exited = new Promise((resolve) => child.once('exit', (code) => resolve(code)));
  }

  signal(signal: NodeJS.Signals): Promise<number | null> {
    this.child.kill(signal);
    return this.exited;
  }
}

async function startJob(id: string, more: readonly (readonly [string, string])[] = []): Promise<Job> {
  const settings: readonly (readonly [string, string])[] = [
    ['node.id', id],
    ['node.env', env],
    ['ops.port', '0'],
    ['consume.group', group],
    ['ingress.group', `goim-${group}`],
    ['registry.servers', process.env['HALLEY_TEST_ZOOKEEPER'] ?? ''],
    ['bus.brokers', process.env['HALLEY_TEST_KAFKA'] ?? ''],
    ['routes.url', `redis://${process.env['HALLEY_TEST_REDIS']}`],
    ['routes.keyPrefix', keyPrefix],
    ['archive.url', archiveUrl],
    ['log.format', 'json'],
    ...more,
  ];
  const args = settings.flatMap(([key, value]) => [`--${key}`, value]);
  // Neither jest's options nor the tests' own variables, which are no settings.
  const environment = Object.fromEntries(
    Object.entries(process.env).filter(([name]) => name !== 'NODE_OPTIONS' && !name.startsWith('HALLEY_')),
  );
  const script = `const { main } = await import(${JSON.stringify(MAIN)}); await main(process.argv.slice(1));`;
  const child = spawn(process.execPath, ['--input-type=module', '-e', script, '--', ...args], {
    env: environment,
    stdio: ['ignore', 'ignore', 'pipe'],
  });
  const job = new Job(child);
  jobs.push(job);
  await until(() => {
    if (child.exitCode !== null) throw new Error(`the job exited: ${job.output}`);
    return job.output.includes('job delivers');
  }, 30_000);
  return job;
}

async function until(condition: () => boolean | Promise<boolean>, timeoutMs: number): Promise<void> {
  const end = performance.now() + timeoutMs;
  while (!(await condition())) {
    if (performance.now() > end) throw new Error(`not so within ${timeoutMs} ms: ${condition.toString()}`);
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
}

beforeAll(async () => {
  registry = new ZooKeeperRegistry({
    config: registryConfig.parse({ servers: [process.env['HALLEY_TEST_ZOOKEEPER']] }),
    env,
    log,
  });
  bus = new KafkaBus({
    config: busConfig.parse({ brokers: [process.env['HALLEY_TEST_KAFKA']] }),
    log,
    clock: systemClock,
  });
  await Promise.all([registry.start(), bus.start()]);
  const routesLocation = routesConfig.parse({
    url: `redis://${process.env['HALLEY_TEST_REDIS']}`,
    keyPrefix,
  });
  routes = new RedisRoutes({
    config: routesLocation,
    shards: bus.partitions(Topic.Push),
    log,
  });
  await routes.start();
  const admin = await createConnection(mariadbUrl(process.env['HALLEY_TEST_MARIADB'] ?? ''));
  await admin.query(`CREATE DATABASE ${database}`);
  await admin.end();
  const shards = bus.partitions(Topic.Push);
  streams = new RedisStreams({ location: routesLocation, config: streamsConfig.parse({}), shards, log });
  archive = new MariadbArchive({ config: archiveConfig.parse({ url: archiveUrl }), log });
  await Promise.all([streams.start(), archive.start()]);
  const reader = new StreamReader({ streams, archive, shards, epoch: () => bus.epoch });
  comet = await new FakeComet(`comet-${run}`, async (stream, after) => {
    const [page] = await reader.read([{ stream, after, epoch: bus.epoch, maxEntries: 0, maxBytes: 0 }]);
    return page ?? { through: after, entries: [] };
  }).start();
  await registry.register({ ...comet.record, env });
}, 60_000);

afterAll(async () => {
  for (const job of jobs) await job.signal('SIGKILL');
  comet?.stop();
  await Promise.all([
    streams?.stop(),
    archive?.stop(1_000),
    routes?.stop(),
    bus?.stop(2_000),
    registry?.stop(1_000),
  ]);
});

/** A device of a user is at the comet. */
async function atComet(mid: UserId, key: ConnectionKey, counter: number): Promise<void> {
  await routes.claim({ mid, key, at: comet.ref, counter });
  comet.connect(streamOf.user(mid), key);
}

test('a job killed in mid batch is taken over by the other: every push arrives once and in order', async () => {
  const users = ['11', '12', '13'] as UserId[];
  const rooms = ['live://1', 'live://2'] as RoomId[];
  for (const [index, mid] of users.entries()) await atComet(mid, `k${mid}` as ConnectionKey, index + 1);
  for (const room of rooms) await routes.enterRoom(room, comet.ref);
  const durable = 'chat://1' as RoomId;
  await routes.enterRoom(durable, comet.ref);
  comet.connect(streamOf.room(durable), 'member');
  const [first] = await Promise.all([startJob(`one-${run}`), startJob(`two-${run}`)]);

  const record = (stream: string, body: string, target: object): BusRecord => ({
    partition: shardOf(stream, bus.partitions(Topic.Push)),
    key: stream,
    value: recordCodec.encode({
      pushes: [{ id: body, operation: 1_000, body: Buffer.from(body), class: 'CLASS_DURABLE', ...target }],
    }),
  });
  const count = 500;
  let written = 0;
  const writing = (async () => {
    for (let index = 0; index < count; index += 1) {
      const records = [
        ...users.map((mid) => record(streamOf.user(mid), `m${index}`, { users: [mid] })),
        ...rooms.map((room) =>
          record(streamOf.room(room), `m${index}`, { rooms: [room], class: 'CLASS_EPHEMERAL' }),
        ),
        record(streamOf.room(durable), `m${index}`, { rooms: [durable] }),
      ];
      await bus.produce(Topic.Push, records);
      written += records.length;
    }
  })();
  await until(() => comet.shown.length > 600, 30_000);
  await first.signal('SIGKILL');
  expect(written).toBeLessThan(count * 6);
  await writing;
  await until(() => comet.shown.length >= count * 6, 60_000);
  await until(async () => (await bus.lag(group, Topic.Push)) === 0, 30_000);

  const expected = Array.from({ length: count }, (_, index) => `m${index}`);
  for (const key of [...users.map((mid) => `k${mid}`), 'member'])
    expect(comet.shown.filter(({ keys }) => keys.includes(key)).map(({ id }) => id)).toEqual(expected);
  for (const room of rooms)
    expect(comet.shown.filter((had) => had.rooms.includes(room)).map(({ id }) => id)).toEqual(expected);
}, 150_000);

test('a job that is told to stop leaves at once, and another goes on where it stopped', async () => {
  const before = comet.shown.length;
  const third = await startJob(`three-${run}`);
  const second = jobs[1];
  const stopped = performance.now();
  expect(await second?.signal('SIGTERM')).toBe(0);
  expect(performance.now() - stopped).toBeLessThan(10_000);
  await bus.produce(
    Topic.Push,
    ['11', '12', '13'].map((mid) => {
      const stream = streamOf.user(mid as UserId);
      return {
        partition: shardOf(stream, bus.partitions(Topic.Push)),
        key: stream,
        value: recordCodec.encode({ pushes: [{ id: 'last', operation: 1_000, users: [mid] }] }),
      };
    }),
  );
  await until(() => comet.shown.length === before + 3, 10_000);
  expect(comet.shown.slice(before).every(({ id }) => id === 'last')).toBe(true);
  expect(await third.signal('SIGTERM')).toBe(0);
}, 60_000);

test("a message of goim's producers that Kafka finds too large as a push is put aside, and the rest goes on", async () => {
  // More than its topics take, so that it is Kafka who says so.
  const job = await startJob(`four-${run}`, [['bus.maxRecordBytes', String(2 * MAX_RECORD_BYTES)]]);
  const key = `large-${run}`;
  await atComet('14' as UserId, key as ConnectionKey, 100);
  const message = (msg: Uint8Array): BusRecord => ({
    partition: 0,
    key,
    value: goimCodec.encode({ type: 'PUSH', operation: 1_000, keys: [key], msg }),
  });
  // Fits into goim's topic, and no more with what a push says besides.
  const large = Buffer.alloc(MAX_RECORD_BYTES - 140, 'a secret ');
  const [, written] = await bus.produce(
    Topic.GoimPush,
    [Buffer.from('before'), large, Buffer.from('after')].map(message),
  );
  await until(async () => (await bus.lag(`goim-${group}`, Topic.GoimPush)) === 0, 30_000);
  await until(() => comet.shown.some(({ body }) => body.toString() === 'after'), 10_000);
  expect(comet.shown.filter(({ keys }) => keys.includes(key)).map(({ body }) => body.toString())).toEqual([
    'before',
    'after',
  ]);
  const letters: Readonly<Record<string, string>>[] = [];
  const reader = await bus.consume({
    group: `dead-${run}`,
    topics: [Topic.Dead],
    onBatch: async ({ records }) => void letters.push(...records.map(({ headers }) => headers)),
  });
  await until(() => letters.length > 0, 10_000);
  await reader.stop(1_000);
  expect(letters).toEqual([
    expect.objectContaining({
      'halley-topic': Topic.GoimPush,
      'halley-partition': '0',
      'halley-offset': String(written?.offset),
      'halley-reason': 'too_large',
    }),
  ]);
  expect(job.output).toContain('too_large');
  expect(job.output).not.toContain('a secret');
  expect(await job.signal('SIGTERM')).toBe(0);
}, 90_000);
