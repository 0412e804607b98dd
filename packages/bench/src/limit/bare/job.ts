import { readFileSync } from 'node:fs';
import { once } from 'node:events';

import { type ClientWritableStream, credentials, makeGenericClientConstructor } from '@grpc/grpc-js';
import { Redis } from 'ioredis';
import { Kafka, logLevel } from 'kafkajs';

import { DELIVER, PARTITIONS, runNode } from './node.js';
import { unpack } from './packed.js';

/** The bare job: what Kafka hands over is appended in Redis, a call for a partition's batch, and streamed to the comet. No routes, no archive. */
const APPEND = readFileSync(new URL('../../../src/limit/bare/append.lua', import.meta.url), 'utf8');
/** Nobody reads what was appended: it is removed so often, so that Redis does not grow. */
const CLEAR_MS = 5_000;
const COMMIT_MS = 250;

interface Appending {
  appendPacked(prefix: string, bytes: Buffer, first: number): Promise<number>;
}
type Deliver = (done: (error: Error | null) => void) => ClientWritableStream<Buffer>;

await runNode(async ({ kafka, redis: redisAddress, name, comet }) => {
  const [host = '', port = ''] = redisAddress.split(':');
  const redis = new Redis({ host, port: Number(port), enableAutoPipelining: true }) as Redis & Appending;
  redis.defineCommand('appendPacked', { numberOfKeys: 1, lua: APPEND });

  const Comet = makeGenericClientConstructor(DELIVER, 'Comet');
  const client = new Comet(comet, credentials.createInsecure()) as unknown as { Deliver: Deliver };
  // The comet ends first when something is wrong: then there is nothing to deliver to.
  const stream = client.Deliver((error) => error && process.exit(1));
  stream.on('error', () => undefined).setMaxListeners(PARTITIONS + 2);

  const prefix = `${name}:`;
  const users = new Set<number>();
  const clear = async (): Promise<void> => {
    const keys = [...users].flatMap((mid) => [`${prefix}s${mid}`, `${prefix}n${mid}`]);
    users.clear();
    if (keys.length > 0) await redis.unlink(...keys);
  };
  const clearing = setInterval(() => void clear(), CLEAR_MS);

  let position = 1;
  const consumer = new Kafka({ brokers: [kafka], clientId: name, logLevel: logLevel.ERROR }).consumer({
    groupId: name,
    minBytes: 1,
    maxWaitTimeInMs: 100,
    sessionTimeout: 6_000,
    heartbeatInterval: 500,
  });
  await consumer.connect();
  await consumer.subscribe({ topics: [name], fromBeginning: true });
  const joined = new Promise((resolve) => consumer.on('consumer.group_join', resolve));
  await consumer.run({
    partitionsConsumedConcurrently: PARTITIONS,
    autoCommitInterval: COMMIT_MS,
    eachBatch: async ({ batch }) => {
      const bytes = Buffer.concat(batch.messages.map(({ value }) => value ?? Buffer.alloc(0)));
      const first = position;
      unpack(bytes, ({ mid }) => {
        users.add(mid);
        position += 1;
      });
      await redis.appendPacked(prefix, bytes, first);
      if (!stream.write(bytes)) await once(stream, 'drain');
    },
  });
  await joined;
  return {
    ports: {},
    stop: async () => {
      clearInterval(clearing);
      await consumer.disconnect();
      await clear();
      stream.end();
      await redis.quit();
    },
  };
});
