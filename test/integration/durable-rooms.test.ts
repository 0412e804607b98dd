import { setTimeout as sleep } from 'node:timers/promises';

import { credentials } from '@grpc/grpc-js';
import { protos } from '@halley/cluster/grpc/protos';
import { afterAll, afterEach, beforeAll, expect, test } from '@jest/globals';
import { Redis } from 'ioredis';

import { startCluster, type TestCluster } from '../harness/cluster.js';
import type { GoimClient, Transport } from '../harness/goim-client.js';
import { unary } from '../harness/grpc.js';
import { metric } from '../harness/metrics.js';
import { pushClient } from '../harness/pushers.js';
import { connectTo } from '../harness/traffic.js';
import { newKey, newMid, newOp, newRoom, type Room } from '../harness/unique.js';
import { eventually } from '../harness/within.js';

const COUNT = 500;
/** So that what a member does not read fills its outbox. */
const PADDING = 'x'.repeat(20_000);
const ROOM_TYPE = 'chat';

let cluster: TestCluster;
const clients: GoimClient[] = [];

beforeAll(async () => {
  cluster = await startCluster({
    arguments: {
      logic: ['--push.durableRooms', `${ROOM_TYPE}://*`, '--push.durableAll', 'true'],
      comet: ['--outbox.maxBytes', '300000'],
    },
  });
}, 120_000);

afterEach(() => {
  for (const client of clients.splice(0)) client.close();
});

afterAll(() => cluster?.stop(), 20_000);

async function member(comet: string, transport: Transport, token: object): Promise<GoimClient> {
  const client = await connectTo(cluster, comet, transport);
  clients.push(client);
  await client.auth({ mid: newMid(), key: newKey(), ...token });
  return client;
}

/** A business service: repeats what is not known to have been taken, under its id. */
class Business {
  readonly #client = pushClient(cluster.address('logic-1', 'grpc'), cluster.address('logic-2', 'grpc'));

  async push(target: object, operation: number, number: number, more: object = {}): Promise<void> {
    const request = { target, operation, id: `${operation}-${number}`, ...more };
    const body = Buffer.from(`${number}/${PADDING}`);
    for (let tries = 0; ; tries += 1) {
      try {
        await unary(this.#client.Push.bind(this.#client), { ...request, body });
        return;
      } catch (error) {
        if (tries === 100) throw error;
        await sleep(200);
      }
    }
  }

  /** The numbers in a room's history, oldest first. */
  async historyOf(room: Room): Promise<number[]> {
    const { HistoryService } = protos.halley.push.v1;
    const client = new HistoryService(cluster.address('logic-2', 'grpc'), credentials.createInsecure());
    const numbers: number[] = [];
    try {
      const request = { room: room.id, order: 'HISTORY_ORDER_OLDEST_FIRST' as const, limit: 200 };
      let behind: { readonly after?: string } = {};
      for (;;) {
        const page = await unary(client.ReadHistory.bind(client), { ...request, ...behind });
        numbers.push(...page.entries.map(({ body }) => numberIn(body)));
        if (!page.more) return numbers;
        behind = { after: page.entries.at(-1)?.position ?? '' };
      }
    } finally {
      client.close();
    }
  }

  close(): void {
    this.#client.close();
  }
}

function numberIn(body: Uint8Array): number {
  return Number.parseInt(Buffer.from(body).toString(), 10);
}

async function emptyRedis(): Promise<void> {
  const redis = new Redis(cluster.services.redis.port, '127.0.0.1');
  await redis.flushall();
  redis.disconnect();
}

const upTo = (count: number): number[] => Array.from({ length: count }, (_, number) => number);
const numbersOf = ({ waiting }: GoimClient): number[] => waiting.map(({ body }) => numberIn(body));
const dropped = async (): Promise<number> => {
  const each = ['comet-1', 'comet-2'].map((comet) =>
    metric(cluster.address(comet, 'ops'), 'halley_comet_messages_dropped_total', /reason="(room|user)_slow"/),
  );
  return (await Promise.all(each)).reduce((sum, count) => sum + count, 0);
};

test('a durable room: all arrive once and in order at each member, while a job is killed and hints are lost', async () => {
  const [room, operation] = [newRoom(ROOM_TYPE), newOp()];
  const token = { room_id: room.id };
  const tcp = await member('comet-1', 'tcp', token);
  const ws = await member('comet-2', 'ws', token);
  const slow = await member('comet-1', 'tcp', token);
  slow.pause();
  const business = new Business();
  for (const number of upTo(COUNT)) {
    if (number === 150 || number === 350) await emptyRedis();
    if (number === 250) await cluster.kill('job-1');
    await business.push({ room: room.id }, operation, number);
    if (number % 10 === 0) await sleep(20);
  }
  for (const client of [tcp, ws])
    expect(
      await eventually(
        () => numbersOf(client).length,
        (count) => count >= COUNT,
        60_000,
      ),
    ).toBe(COUNT);
  expect(numbersOf(slow).length).toBeLessThan(COUNT);
  slow.resume();
  await eventually(
    () => numbersOf(slow).length,
    (count) => count >= COUNT,
    30_000,
  );
  for (const client of [tcp, ws, slow]) {
    expect(numbersOf(client)).toEqual(upTo(COUNT));
    expect(client.breaches).toEqual([]);
  }
  expect(await business.historyOf(room)).toEqual(upTo(COUNT));
  expect(await dropped()).toBe(0);
  business.close();
}, 240_000);

test("everyone's stream: what is durable is kept in order for who reads slowly", async () => {
  const operation = newOp();
  const token = { accepts: [operation] };
  const fast = await member('comet-1', 'ws', token);
  const slow = await member('comet-2', 'tcp', token);
  slow.pause();
  const business = new Business();
  const durable = { class: 'DELIVERY_CLASS_DURABLE' };
  for (const number of upTo(200)) await business.push({ everyone: {} }, operation, number, durable);
  await eventually(
    () => numbersOf(fast).length,
    (count) => count >= 200,
  );
  slow.resume();
  await eventually(
    () => numbersOf(slow).length,
    (count) => count >= 200,
  );
  for (const client of [fast, slow]) expect(numbersOf(client)).toEqual(upTo(200));
  business.close();
}, 60_000);
