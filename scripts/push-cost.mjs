// Counts what a durable push to a user costs logic and job, each by its own code in this process, and Redis behind job: CPU,
// without Kafka and without sockets but Redis's. docs/performance.md has what it prints.
//   npm run push-cost -- [PUSHES of a round, 100,000 by default] [logic|job: only that]
import { EventEmitter } from 'node:events';
import { randomUUID } from 'node:crypto';

import { protos } from '@halley/cluster/grpc/protos';
import { jobConfig } from '@halley/job/config';
import { Lane } from '@halley/job/consume/lanes';
import { CometLinks } from '@halley/job/deliver/comet-links';
import { encodeDeliverRequest } from '@halley/job/deliver/delivery-client';
import { JobMetrics } from '@halley/job/metrics';
import { Wakeup } from '@halley/job/wakeup';
import { PushCalls } from '@halley/logic/api/push-calls';
import { logicMetrics } from '@halley/logic/metrics';
import { PushAcceptor } from '@halley/logic/push/accept';
import { Admission } from '@halley/logic/push/admission';
import { Durability } from '@halley/logic/push/durability';
import { systemClock as clock } from '@halley/service/clock';
import { loadConfig } from '@halley/service/config';
import { silentLogger } from '@halley/service/log';
import { Metrics } from '@halley/service/metrics';
import { startRedis } from '@halley/services/redis';
import { ProduceQueue } from '@halley/store/bus/produce-queue';
import { RedisRoutes } from '@halley/store/routes/redis';
import { RedisStreams } from '@halley/store/streams/redis';
import { Redis } from 'ioredis';

const USERS = 1_000;
/** Pushes of a call to logic, and calls under way. */
const BATCH = 512;
const CALLERS = 8;
const ROUNDS = 5;
const BODY = Buffer.alloc(100, 'a');
const EPOCH = 'cost';

/** The stream to a comet that takes everything at once: what it costs job to encode is paid. */
class CometStream extends EventEmitter {
  constructor(incarnation) {
    super();
    setImmediate(() => this.emit('data', { welcome: { comet_incarnation: incarnation } }));
  }

  write(request) {
    encodeDeliverRequest(request);
    if (!request.batches) return true;
    const acks = request.batches.batches.map(({ topic, partition, deliveries }) => {
      delivered += deliveries.length;
      return { topic, partition, position: deliveries.at(-1).position };
    });
    setImmediate(() => this.emit('data', { acks: { acks } }));
    return true;
  }

  cancel() {}
}

const pushes = Number(process.argv[2] ?? 100_000);
const only = process.argv[3];
if (!(pushes >= BATCH && pushes <= 10_000_000)) {
  process.stderr.write('npm run push-cost -- [PUSHES, 512 to 10000000] [logic|job]\n');
  process.exit(1);
}
const log = silentLogger();
const partitions = loadConfig(jobConfig, { flags: [] }).bus.partitions;
const found = new Map();
let delivered = 0;
for (let round = 0; round < ROUNDS; round += 1) {
  const records = await throughLogic(only !== 'job');
  if (only !== 'logic') await throughJob(records);
}
for (const [what, figures] of found) {
  const sorted = figures.toSorted((a, b) => a - b);
  process.stdout.write(
    `${what.padEnd(46)} ${sorted[Math.floor(sorted.length / 2)].toFixed(2).padStart(7)} µs (${sorted[0].toFixed(2)} to ${sorted.at(-1).toFixed(2)})\n`,
  );
}

function told(what, micros) {
  const figures = found.get(what) ?? [];
  found.set(what, figures);
  figures.push(micros / pushes);
}

function cpuSince(before) {
  const { user, system } = process.cpuUsage(before);
  return user + system;
}

/** Answers the records that logic wrote, by partition. */
async function throughLogic(counted) {
  const written = Array.from({ length: partitions }, () => []);
  const queue = new ProduceQueue({
    clock,
    maxQueuedBytes: 1e9,
    maxBatchBytes: 900_000,
    maxWaitMs: 10_000,
    lingerMs: 0,
    send: (batches) =>
      setImmediate(() => {
        for (const batch of batches) {
          const ofPartition = written[batch.partition];
          ofPartition.push(...batch.records);
          batch.done(ofPartition.length - batch.records.length);
        }
      }),
  });
  const metrics = logicMetrics(new Metrics({ process: false }));
  const calls = new PushCalls({
    acceptor: new PushAcceptor({
      bus: {
        partitions: () => partitions,
        produce: (topic, records, options) => queue.produce(topic, records, options),
      },
      routes: { owners: async () => new Map() },
      streams: { full: () => false, appliedAt: async () => undefined },
      admission: new Admission({ maxInFlight: 1e6, maxQueuedBytes: 1e9, clock }),
      maxRecordBytes: 4 * 1_048_576,
      clock,
      log,
      metrics,
    }),
    limits: {
      maxBodyBytes: 1_048_576,
      maxTargets: 10_000,
      maxDelayMs: 86_400_000,
      durability: new Durability({ durableRooms: [], durableAll: false }),
    },
    clock,
  });
  const { PushBatch } = protos.halley.push.v1.PushService.service;
  let next = 0;
  const requests = Array.from({ length: Math.floor(USERS / 4) }, () =>
    PushBatch.requestSerialize({
      requests: Array.from({ length: BATCH }, () => {
        const mid = String(1_000_000_000 + (next++ % USERS));
        return { target: { users: { mids: [mid] } }, operation: 1_000, body: BODY };
      }),
    }),
  );
  const before = process.cpuUsage();
  let sent = 0;
  const caller = async (lane) => {
    while (sent < pushes) {
      const bytes = requests[(sent / BATCH) % requests.length];
      sent += BATCH;
      const { requests: read } = PushBatch.requestDeserialize(bytes);
      const results = await calls.batch(read, {
        lane,
        caller: 'shop',
        traceparent: '',
        deadlineMs: clock.monotonicMs() + 10_000,
      });
      PushBatch.responseSerialize({ results });
      if (results.some(({ outcome }) => outcome !== 'OUTCOME_OK')) throw new Error('a push was refused');
    }
  };
  await Promise.all(Array.from({ length: CALLERS }, (_, index) => caller(String(index))));
  if (counted) told('logic: PushBatch, a push', cpuSince(before));
  return written;
}

async function throughJob(written) {
  const server = await startRedis();
  const url = `redis://${server.address}`;
  const {
    routes: config,
    streams: streamsConfig,
    consume,
    link,
  } = loadConfig(jobConfig, {
    flags: ['--routes.url', url, '--routes.commandTimeoutMs', '10000'],
  });
  const shared = { shards: partitions, log };
  const routes = new RedisRoutes({ config, ...shared });
  const streams = new RedisStreams({ location: config, config: streamsConfig, ...shared });
  const asked = new Redis(url);
  const comet = { id: 'comet-1', incarnation: randomUUID(), addresses: { grpc: 'here' } };
  const changed = new Wakeup();
  const links = new CometLinks({
    view: { nodes: () => [comet], onChange: () => () => undefined },
    hello: { job: 'job', job_incarnation: '1', epoch: EPOCH },
    limits: link,
    unknownCometGraceMs: 0,
    connect: () => ({ deliver: () => new CometStream(comet.incarnation), close: () => undefined }),
    clock,
    log,
    changed,
    onBreak: () => undefined,
  });
  try {
    await routes.start();
    await streams.start();
    await links.start();
    const at = { node: comet.id, incarnation: comet.incarnation };
    for (let user = 0; user < USERS; user += 1)
      await routes.claim({ mid: String(1_000_000_000 + user), key: randomUUID(), at, counter: user + 1 });
    for (let shard = 0; shard < partitions; shard += 1) await streams.restore(shard, EPOCH, -1);
    const metrics = new JobMetrics(new Metrics({ process: false }), () => clock.now());
    const lanes = written.map(
      (_, partition) =>
        new Lane(
          'halley-push',
          partition,
          { seek: () => undefined, onAppended: () => undefined, archived: () => undefined },
          {
            streams,
            archive: { watermark: async () => -1 },
            epoch: EPOCH,
            clock,
            metrics,
            log,
            routes,
            links,
            maxHintBodyBytes: link.maxHintBodyBytes,
            exceptions: { tell: () => undefined },
            changed,
            deadLetters: { write: async () => undefined },
            shards: partitions,
            limits: {
              maxRecords: consume.maxUndoneRecords,
              maxBytes: consume.maxUndoneBytes,
              maxStallMs: link.maxStallMs,
            },
          },
        ),
    );
    await asked.call('CONFIG', 'RESETSTAT');
    const redisBefore = await redisMicros(asked);
    const before = process.cpuUsage();
    await Promise.all(
      written.map(async (records, partition) => {
        // Some records at once, as a consumer under load is handed.
        for (let from = 0; from < records.length; from += 4) {
          const batch = records.slice(from, from + 4).map(({ key, value }, index) => {
            return { offset: from + index, key, value, headers: {}, timestampMs: Date.now() };
          });
          await lanes[partition].take({ topic: 'halley-push', partition, records: batch, highWatermark: 0 });
        }
        await lanes[partition].drained();
      }),
    );
    told('job: a push', cpuSince(before));
    told('Redis: append and routes, a push', (await redisMicros(asked)) - redisBefore);
    const trimmed = await redisMicros(asked);
    await Promise.all(written.map((_, shard) => streams.trim(shard, EPOCH, Number.MAX_SAFE_INTEGER)));
    told('Redis: trim, a push', (await redisMicros(asked)) - trimmed);
    const sent = written.reduce((sum, records) => sum + records.length, 0);
    if (delivered < sent) throw new Error(`${delivered} deliveries of ${sent} records`);
  } finally {
    await links.stop();
    await streams.stop();
    await routes.stop();
    asked.disconnect();
    await server.stop(2_000);
  }
}

async function redisMicros(redis) {
  const info = await redis.info('cpu');
  const of = (name) => Number(new RegExp(`^${name}:([\\d.]+)`, 'm').exec(info)?.[1]);
  return (of('used_cpu_sys_main_thread') + of('used_cpu_user_main_thread')) * 1e6;
}
