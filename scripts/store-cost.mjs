// Counts what connections and durable pushes cost Redis, by the product's own adapters on a Redis of its own: CPU of its one
// thread, and memory. docs/scaling.md has what it prints.
//   npm run store-cost -- [CONNECTIONS, 10000 by default]
import { randomUUID } from 'node:crypto';

import { loadConfig } from '@halley/service/config';
import { silentLogger } from '@halley/service/log';
import { jobConfig } from '@halley/job/config';
import { startRedis } from '@halley/services/redis';
import { RedisRoutes } from '@halley/store/routes/redis';
import { shardOf, streamOf } from '@halley/store/shard';
import { RedisStreams } from '@halley/store/streams/redis';
import { Redis } from 'ioredis';

/** As comet: the sessions of one call, and calls at once. */
const SLICE = 1_000;
const ROUNDS = 5;
const EPOCH = 'cost';
/** As logic: a device that is there keeps its cursor. */
const CURSOR_TTL_MS = 600_000;
const BODY = Buffer.alloc(100, 'a');
/** Pushes of one script call: what a job polls at once is up to some thousands. */
const APPENDED_AT_ONCE = 256;

const count = Number(process.argv[2] ?? 10_000);
if (!(count >= 100 && count <= 1_000_000)) {
  process.stderr.write('npm run store-cost -- [CONNECTIONS, 100 to 1000000]\n');
  process.exit(1);
}
const server = await startRedis();
const url = `redis://${server.address}`;
const {
  bus,
  routes: config,
  streams: streamsConfig,
} = loadConfig(jobConfig, { flags: ['--routes.url', url, '--routes.commandTimeoutMs', '10000'] });
const shared = { shards: bus.partitions, log: silentLogger() };
const routes = new RedisRoutes({ config, ...shared });
const streams = new RedisStreams({ location: config, config: streamsConfig, ...shared });
const asked = new Redis(url);
try {
  await routes.start();
  await streams.start();
  await measure();
} finally {
  await streams.stop();
  await routes.stop();
  asked.disconnect();
  await server.stop(2_000);
}

async function measure() {
  for (let shard = 0; shard < bus.partitions; shard += 1) await streams.restore(shard, EPOCH, -1);
  const at = { node: 'comet-001.internal:3109', incarnation: randomUUID() };
  const users = Array.from({ length: count }, (_, index) => {
    const mid = String(1_000_000_000 + index);
    return { mid, key: randomUUID(), stream: streamOf.user(mid) };
  });
  // Scripts are loaded, and buffers grown, before anything is counted.
  await routes.claim({ mid: '1', key: 'first', at, counter: 1 });

  const sessions = [];
  await told('a connection: its route', count, () =>
    inSlices(users, 200, async (slice, from) => {
      const claimed = await Promise.all(
        slice.map(({ mid, key }, index) => routes.claim({ mid, key, at, counter: 2 + from + index })),
      );
      sessions.push(...claimed.map(({ owner }, index) => ({ ...slice[index], owner })));
    }),
  );
  const save = (slice) =>
    streams.saveCursors(
      slice.map(({ stream, key, owner }) => {
        return { stream, key, owner, epoch: EPOCH, position: 0, ttlMs: CURSOR_TTL_MS };
      }),
    );
  await told('a connection: its cursor', count, () => inSlices(sessions, SLICE, save));
  await renewed('route', sessions, (slice) => routes.renew({ at, sessions: slice, rooms: [] }));
  await renewed('cursor', sessions, save);
  await renewed('newest position', sessions, (slice) => streams.newest(slice.map(({ stream }) => stream)));
  const pushes = pushesTo(users);
  await told('a durable push of 100 bytes to a user', count, () =>
    Promise.all([...pushes].map(([shard, ofShard]) => append(shard, ofShard))),
  );
  await told('archived: it goes but for its id, for a day', count, () =>
    Promise.all([...pushes.keys()].map((shard) => streams.trim(shard, EPOCH, Number.MAX_SAFE_INTEGER))),
  );
  await told('the routes of a user', count, () =>
    inSlices(users, APPENDED_AT_ONCE, (slice) => routes.find({ users: slice.map(({ mid }) => mid) })),
  );
}

function renewed(what, sessions, work) {
  return told(`renewing it, every 8 s: its ${what}`, sessions.length * ROUNDS, async () => {
    for (let round = 0; round < ROUNDS; round += 1) await inSlices(sessions, SLICE, work);
  });
}

function pushesTo(users) {
  const shards = new Map();
  for (const { stream } of users) {
    const shard = shardOf(stream, bus.partitions);
    const ofShard = shards.get(shard) ?? [];
    shards.set(shard, ofShard);
    ofShard.push({
      position: ofShard.length * 1_024,
      id: randomUUID(),
      digest: 'd'.repeat(22),
      operation: 1_000,
      body: BODY,
      acceptedAtMs: Date.now(),
      expireAtMs: 0,
      traceparent: '',
      caller: 'shop',
      targets: [{ stream, keys: [] }],
    });
  }
  return shards;
}

async function append(shard, pushes) {
  for (let from = 0; from < pushes.length; from += APPENDED_AT_ONCE) {
    const batch = pushes.slice(from, from + APPENDED_AT_ONCE);
    const [before, through] = [batch[0].position - 1, batch.at(-1).position + 1_023];
    const { outcome } = await streams.append({ shard, epoch: EPOCH, before, through, pushes: batch });
    if (outcome !== 'appended') throw new Error(`the append of shard ${shard} was ${outcome}`);
  }
}

async function inSlices(items, size, work) {
  for (let from = 0; from < items.length; from += size) await work(items.slice(from, from + size), from);
}

/** Prints what Redis' thread spent on the work, and by how much its memory grew, for each of so many. */
async function told(what, times, work) {
  const before = await figures();
  await work();
  const after = await figures();
  const microseconds = ((after.cpuSeconds - before.cpuSeconds) * 1e6) / times;
  const bytes = (after.bytes - before.bytes) / times;
  process.stdout.write(
    `${what.padEnd(48)} ${microseconds.toFixed(2).padStart(7)} µs ${bytes.toFixed(0).padStart(6)} bytes\n`,
  );
}

async function figures() {
  const info = `${await asked.info('cpu')}${await asked.info('memory')}`;
  const of = (name) => Number(new RegExp(`^${name}:([\\d.]+)`, 'm').exec(info)?.[1]);
  return {
    cpuSeconds: of('used_cpu_sys_main_thread') + of('used_cpu_user_main_thread'),
    bytes: of('used_memory'),
  };
}
