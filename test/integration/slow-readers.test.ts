import { setTimeout as sleep } from 'node:timers/promises';

import { afterAll, beforeAll, expect, test } from '@jest/globals';

import { startCluster, type TestCluster } from '../harness/cluster.js';
import type { GoimClient } from '../harness/goim-client.js';
import { metric } from '../harness/metrics.js';
import { GrpcPusher } from '../harness/pushers.js';
import { connectTo } from '../harness/traffic.js';
import { newKey, newMid, newOp } from '../harness/unique.js';
import { eventually } from '../harness/within.js';

/** On a cluster: who reads slowly, or not at all, keeps nobody else waiting, fills no memory, and misses nothing. */
const MESSAGES = 400;
/** Together more than kernel and outbox hold for a connection. */
const BODY_BYTES = 24 * 1_024;
const OUTBOX_BYTES = 256 * 1_024;
/** Of each kind, half over TCP and half over WebSocket. */
const READERS = 2;
/** A slow one reads for this long, and then not for this long. */
const READS_MS = 5;
const RESTS_MS = 100;
/** Far above what it takes, and far below what waiting for the others would take. */
const NORMAL_P99_MS = 5_000;

let cluster: TestCluster;
let pusher: GrpcPusher;
const clients: GoimClient[] = [];

beforeAll(async () => {
  cluster = await startCluster({
    comets: 1,
    logics: 1,
    jobs: 1,
    arguments: { comet: ['--outbox.maxBytes', `${OUTBOX_BYTES}`] },
  });
  pusher = new GrpcPusher([cluster.address('logic-1', 'grpc')]);
}, 120_000);

afterAll(async () => {
  for (const client of clients) client.close();
  pusher?.close();
  await cluster?.stop();
}, 30_000);

const ofComet = (name: string): Promise<number> => metric(cluster.address('comet-1', 'ops'), name);

interface Reader {
  readonly mid: bigint;
  readonly client: GoimClient;
}

async function openReaders(op: number): Promise<Reader[]> {
  return Promise.all(
    Array.from({ length: READERS }, async (_, index) => {
      const mid = newMid();
      const client = await connectTo(cluster, 'comet-1', index % 2 === 0 ? 'tcp' : 'ws');
      clients.push(client);
      await client.auth({ mid, key: newKey(), accepts: [op] });
      return { mid, client };
    }),
  );
}

const numbersOf = ({ client }: Reader): number[] =>
  client.waiting.map(({ body }) => Number(body.toString('latin1', 0, 20).split('/')[0]));

const ALL = Array.from({ length: MESSAGES }, (_, number) => number);

test(`${MESSAGES} messages to readers, slow readers and frozen ones: each gets all in order, and the normal ones at once`, async () => {
  const op = newOp();
  const [normal, slow, frozen] = [await openReaders(op), await openReaders(op), await openReaders(op)];
  for (const { client } of [...slow, ...frozen]) client.pause();
  const ended = new AbortController();
  const crawling = Promise.all(
    slow.map(async ({ client }) => {
      while (!ended.signal.aborted) {
        client.resume();
        await sleep(READS_MS);
        client.pause();
        await sleep(RESTS_MS);
      }
      client.resume();
    }),
  );
  const pushedAtMs: number[] = [];
  const latenciesMs: number[] = [];
  const reading = Promise.all(
    normal.map(async ({ client }) => {
      for (const number of ALL) {
        const { body } = await client.next(30_000);
        expect(Number(body.toString('latin1', 0, 20).split('/')[0])).toBe(number);
        latenciesMs.push(performance.now() - (pushedAtMs[number] ?? 0));
      }
    }),
  );
  // A failure is told where it is awaited.
  reading.catch(() => undefined);
  let mostBufferedBytes = 0;
  let mostBehind = 0;
  const look = async (): Promise<void> => {
    mostBufferedBytes = Math.max(mostBufferedBytes, await ofComet('halley_comet_buffered_bytes'));
    mostBehind = Math.max(mostBehind, await ofComet('halley_comet_catching_up_connections'));
  };
  const mids = [...normal, ...slow, ...frozen].map(({ mid }) => mid);
  for (const number of ALL) {
    pushedAtMs[number] = performance.now();
    const body = `${number}/`.padEnd(BODY_BYTES, '.');
    expect(await pusher.push({ mids }, op, body)).toEqual({ outcome: 'ok' });
    if (number % 20 === 0) await look();
  }
  await reading;
  await look();
  latenciesMs.sort((a, b) => a - b);
  expect(latenciesMs[Math.floor(latenciesMs.length * 0.99)]).toBeLessThan(NORMAL_P99_MS);
  // They did fall behind, and what waited for them stayed within their outboxes.
  expect(mostBehind).toBeGreaterThanOrEqual(READERS);
  expect(mostBufferedBytes).toBeGreaterThan(0);
  expect(mostBufferedBytes).toBeLessThanOrEqual(2 * READERS * (OUTBOX_BYTES + 2 * BODY_BYTES));
  for (const reader of frozen) expect(numbersOf(reader).length).toBeLessThan(MESSAGES);

  ended.abort();
  await crawling;
  for (const { client } of frozen) client.resume();
  for (const reader of [...slow, ...frozen]) {
    await eventually(
      () => reader.client.waiting.length,
      (count) => count >= MESSAGES,
      30_000,
    );
    expect(numbersOf(reader)).toEqual(ALL);
  }
  expect(
    await eventually(
      () => ofComet('halley_comet_buffered_bytes'),
      (count) => count === 0,
    ),
  ).toBe(0);
  // From now on they are sent what comes, as everybody.
  expect(await pusher.push({ mids }, op, 'again')).toEqual({ outcome: 'ok' });
  for (const { client } of [...slow, ...frozen]) {
    const last = await eventually(
      () => client.waiting.at(-1)?.body.toString(),
      (body) => body === 'again',
    );
    expect(last).toBe('again');
    expect(client.waiting).toHaveLength(MESSAGES + 1);
  }
  for (const { client } of normal) expect((await client.next()).body.toString()).toBe('again');
}, 120_000);
