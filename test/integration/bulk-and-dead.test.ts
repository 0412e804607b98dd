import { setTimeout as sleep } from 'node:timers/promises';

import { credentials, Metadata, type ServiceError } from '@grpc/grpc-js';
import type { ListDeadLettersReply__Output } from '@halley/cluster/grpc/gen/halley/push/v1/ListDeadLettersReply';
import type { TraceReply__Output } from '@halley/cluster/grpc/gen/halley/push/v1/TraceReply';
import type { PushBatchReply__Output } from '@halley/cluster/grpc/gen/halley/push/v1/PushBatchReply';
import type { PushRequest } from '@halley/cluster/grpc/gen/halley/push/v1/PushRequest';
import { protos } from '@halley/cluster/grpc/protos';
import { afterAll, beforeAll, expect, test } from '@jest/globals';
import { Kafka, logLevel, type Producer } from 'kafkajs';

import { startCluster, type TestCluster } from '../harness/cluster.js';
import type { GoimClient } from '../harness/goim-client.js';
import { HalleyProcess } from '../harness/halley-process.js';
import { metric } from '../harness/metrics.js';
import { pushClient } from '../harness/pushers.js';
import { connectTo } from '../harness/traffic.js';
import { newKey, newMid, newOp } from '../harness/unique.js';
import { eventually } from '../harness/within.js';

/** Bulk pushes in all; as many to each of the users, whose streams are in several partitions. */
const BULK = Number(process.env['HALLEY_TEST_BULK'] ?? 400);
const USERS = 8;
const EACH = Math.ceil(BULK / USERS);
/** A record of halley-bulk has so many pushes, and is moved whole. */
const A_RECORD = 2;
/** So slowly that most wait when a job is killed, also where the pushes themselves take a while. */
const MOVED_A_SECOND = EACH / 5;
/** A job that was killed is known to be gone after its session with Kafka, 6 s. */
const TAKEOVER_MS = 30_000;
/** Records that cannot be taken in, of which a job is killed amid. */
const GARBAGE = 60;

const KEYS = { all: 'key-of-all', dead: 'key-of-dead', push: 'key-of-push' };

let cluster: TestCluster;
let push: ReturnType<typeof pushClient>;
let letters: InstanceType<typeof protos.halley.push.v1.DeadLetterService>;
let ledger: InstanceType<typeof protos.halley.push.v1.LedgerService>;
let kafka: Producer;
const clients: GoimClient[] = [];
const mids = Array.from({ length: USERS }, newMid);
const op = newOp();
/** What each user was shown, in order. */
const shown: string[][] = mids.map(() => []);

beforeAll(async () => {
  const keys = [
    { name: 'all', key: KEYS.all },
    { name: 'dead', key: KEYS.dead, scopes: ['dead-letters'] },
    { name: 'push', key: KEYS.push, scopes: ['push'] },
  ];
  cluster = await startCluster({
    comets: 1,
    logics: 1,
    jobs: 2,
    arguments: {
      logic: ['--api.keys', JSON.stringify(keys)],
      job: ['--bulk.maxPerSecond', String(Math.ceil(MOVED_A_SECOND)), '--bulk.turnMs', '50'],
    },
  });
  push = pushClient(cluster.address('logic-1', 'grpc'));
  letters = new protos.halley.push.v1.DeadLetterService(
    cluster.address('logic-1', 'grpc'),
    credentials.createInsecure(),
  );
  ledger = new protos.halley.push.v1.LedgerService(
    cluster.address('logic-1', 'grpc'),
    credentials.createInsecure(),
  );
  const brokers = [cluster.services.kafka.address];
  kafka = new Kafka({ brokers, logLevel: logLevel.NOTHING }).producer();
  await kafka.connect();
  for (const [index, mid] of mids.entries()) {
    const client = await connectTo(cluster, 'comet-1', 'tcp');
    clients.push(client);
    await client.auth({ mid, key: newKey(), room_id: '', accepts: [op] });
    void receive(client, shown[index]!);
  }
}, 120_000);

afterAll(async () => {
  for (const client of clients) client.close();
  push?.close();
  letters?.close();
  ledger?.close();
  await kafka?.disconnect();
  await cluster?.stop();
}, 20_000);

async function receive(client: GoimClient, into: string[]): Promise<void> {
  for (;;) {
    const frame = await client.next(600_000).catch(() => undefined);
    if (!frame) return;
    if (frame.op === op) into.push(frame.body.toString());
  }
}

type Method<Request, Reply> = (
  request: Request,
  metadata: Metadata,
  callback: (error: ServiceError | null, reply?: Reply) => void,
) => unknown;

/** A unary call with an API key, or without one. */
function called<Request, Reply>(method: Method<Request, Reply>, request: Request, key = ''): Promise<Reply> {
  const metadata = new Metadata();
  if (key) metadata.set('authorization', `Bearer ${key}`);
  return new Promise((resolve, reject) => {
    method(request, metadata, (error, reply) => {
      if (error || reply === undefined) reject(error ?? new Error('neither error nor reply'));
      else resolve(reply);
    });
  });
}

async function pushAll(requests: readonly PushRequest[]): Promise<void> {
  const batch: Method<object, PushBatchReply__Output> = push.PushBatch.bind(push);
  const { results } = await called(batch, { requests: [...requests] }, KEYS.push);
  expect(results.filter(({ outcome }) => outcome !== 'OUTCOME_OK')).toEqual([]);
}

const trace = (id: string): Promise<TraceReply__Output> => {
  const method: Method<object, TraceReply__Output> = ledger.Trace.bind(ledger);
  return called(method, { id }, KEYS.push);
};

const request = (to: number, body: string, fields: Partial<PushRequest> = {}): PushRequest => ({
  operation: op,
  body: Buffer.from(body),
  target: { users: { mids: [mids[to]!.toString()] } },
  ...fields,
});
const everyone = (count: number): number => shown.filter(({ length }) => length >= count).length;
const bulkOf = (to: number): string[] => shown[to]!.filter((text) => text.startsWith('bulk'));

test('bulk pushes come once and in order though a job is killed as it moves them, and others overtake them', async () => {
  const texts = Array.from({ length: EACH }, (_, index) => `bulk ${index}`);
  for (let at = 0; at < EACH; at += A_RECORD) {
    const record = texts.slice(at, at + A_RECORD);
    await Promise.all(
      mids.map((_, to) =>
        pushAll(record.map((text) => request(to, text, { id: `${to} ${text}`, priority: 'PRIORITY_BULK' }))),
      ),
    );
  }
  await Promise.all(mids.map((_, to) => pushAll([request(to, 'normal')])));
  await eventually(() => shown.every((texts) => texts.includes('normal')), Boolean, 10_000, 20);
  const last = `0 ${texts.at(-1)}`;
  const waits = await trace(last);
  expect(waits).toMatchObject({ state: 'TRACE_STATE_UNSPECIFIED' });
  expect(waits.notes.join()).toMatch(/\d+ records? in halley-bulk/);
  const moved = await metric(cluster.address('job-1', 'ops'), 'halley_job_bulk_moved_total');
  const before = mids.map((_, to) => bulkOf(to).length);
  await cluster.kill('job-1');
  expect(moved).toBeGreaterThan(0);
  // Each user's normal push came though bulk pushes that were accepted before it still wait.
  expect(before.filter((length) => length === EACH)).toEqual([]);
  await eventually(
    () => everyone(EACH + 1),
    (count) => count === USERS,
    TAKEOVER_MS,
    50,
  );
  // Whatever came too often would be there by then, in the order of the stream.
  await Promise.all(mids.map((_, to) => pushAll([request(to, 'bulk last', { priority: 'PRIORITY_BULK' })])));
  await eventually(
    () => everyone(EACH + 2),
    (count) => count === USERS,
    10_000,
    50,
  );
  expect(await trace(last)).toMatchObject({ streams: 1, notes: [] });
  for (const to of mids.keys()) expect(bulkOf(to)).toEqual([...texts, 'bulk last']);
  for (const texts of shown) expect(texts.filter((text) => text === 'normal')).toHaveLength(1);
}, 60_000);

interface Head {
  readonly id: string;
  readonly topic: string;
  readonly partition: number;
  readonly offset: number | string;
  readonly reason: string;
  readonly requeued_at_ms: number | string;
}

const url = (path: string): string => `http://${cluster.address('logic-1', 'http')}/v1/dead-letters${path}`;
const http = (path: string, key: string, init: RequestInit = {}): Promise<Response> =>
  fetch(url(path), {
    ...init,
    headers: { 'content-type': 'application/json', ...(key && { authorization: `Bearer ${key}` }) },
  });
const listed = async (query = ''): Promise<Head[]> => {
  const { letters: page } = (await (await http(`?limit=1000${query}`, KEYS.dead)).json()) as {
    letters: Head[];
  };
  return page;
};
const whenListed = (count: number): Promise<Head[]> =>
  eventually(listed, ({ length }) => length >= count, TAKEOVER_MS, 50);
const requeue = async (body: object, key: string) => {
  const answer = await http('/requeue', key, { method: 'POST', body: JSON.stringify(body) });
  return { status: answer.status, body: (await answer.json()) as object };
};
const placeOf = ({ topic, partition, offset }: Head): string => `${topic}/${partition}@${offset}`;
/** What is not needed to decode it: a record with a key, so that goim's ingress sees it as well. */
const garbage = (text: string) => ({
  key: text,
  value: Buffer.concat([Buffer.of(255, 1), Buffer.from(text)]),
});

/** `halley dead …` at the logic. */
async function command(args: readonly string[], key: string): Promise<{ code: number | null; text: string }> {
  const to = ['--address', cluster.address('logic-1', 'grpc'), '--api-key', key];
  const ran = HalleyProcess.spawn(['dead', ...args, ...to]);
  const { code } = await ran.exited;
  return { code, text: ran.output };
}

test('what is put aside is listed and requeued once, by whoever may', async () => {
  await kafka.send({ topic: 'halley-push', messages: [garbage('of halley')] });
  await kafka.send({ topic: 'goim-push-topic', messages: [garbage('of goim')] });
  const heads = await whenListed(2);
  expect(heads).toHaveLength(2);
  const found = Object.fromEntries(heads.map((head) => [head.topic, head]));
  expect(found).toMatchObject({
    'halley-push': { reason: 'undecodable', requeued_at_ms: 0 },
    'goim-push-topic': { reason: 'undecodable', requeued_at_ms: 0 },
  });
  const { id } = found['halley-push']!;

  // The same over gRPC and from the command.
  const list = { limit: 10, before: '0', topic: 'goim-push-topic', reason: '' };
  const method: Method<object, ListDeadLettersReply__Output> = letters.ListDeadLetters.bind(letters);
  const page = await called(method, list, KEYS.dead);
  expect(page.letters.map((letter) => letter.id)).toEqual([found['goim-push-topic']!.id]);
  const { code, text } = await command(['list'], KEYS.dead);
  expect({ code, lines: text.trim().split('\n').length }).toEqual({ code: 0, lines: 3 });
  expect(text).toMatch(/undecodable +halley-push\//);

  // Without the scope, and without a key, nothing is told and nothing happens.
  expect([(await http('', KEYS.push)).status, (await http('', '')).status]).toEqual([403, 401]);
  for (const [key, told] of [
    [KEYS.push, 'permission_denied'],
    ['', 'unauthenticated'],
  ] as const) {
    const refused = await called(method, list, key).catch((error: unknown) => error as ServiceError);
    expect((refused as ServiceError).metadata?.get('halley-code')).toEqual([told]);
  }
  expect((await requeue({ ids: [id] }, KEYS.push)).status).toBe(403);
  expect((await command(['requeue', id], KEYS.push)).code).toBeGreaterThan(0);
  expect((await listed()).map((head) => Number(head.requeued_at_ms))).toEqual([0, 0]);

  // Requeued it is put aside again: marked, a letter of its own.
  expect(await requeue({ ids: [id] }, KEYS.dead)).toEqual({
    status: 200,
    body: { results: [{ id, outcome: 'ok' }] },
  });
  const [again, ...others] = await whenListed(3);
  expect(others.map((head) => head.id)).toEqual(heads.map((head) => head.id));
  const letter = (await (await http(`/${again!.id}`, KEYS.dead)).json()) as Head & {
    readonly headers: Record<string, string>;
    readonly value_base64: string;
  };
  expect(letter).toMatchObject({ topic: 'halley-push', headers: { 'halley-requeued': id } });
  expect(Buffer.from(letter.value_base64, 'base64')).toEqual(garbage('of halley').value);
  expect(Number(others.find((head) => head.id === id)?.requeued_at_ms)).toBeGreaterThan(0);

  // A second time only for who insists.
  expect((await requeue({ ids: [id] }, KEYS.dead)).body).toMatchObject({
    results: [{ id, outcome: 'refused', code: 'already_requeued' }],
  });
  expect(await command(['requeue', id], KEYS.dead)).toMatchObject({ code: 1 });
  expect(await listed()).toHaveLength(3);
  expect(await command(['requeue', id, '--force'], KEYS.dead)).toMatchObject({ code: 0 });
  expect(await whenListed(4)).toHaveLength(4);
}, 90_000);

test('nothing is listed twice, and nothing missing, after the job that was at it is killed and another comes', async () => {
  const before = (await listed()).length;
  const sent = kafka.send({
    topic: 'halley-push',
    messages: Array.from({ length: GARBAGE }, (_, index) => garbage(`restart ${index}`)),
  });
  await sent;
  await eventually(listed, ({ length }) => length > before, 10_000, 2);
  const [, added] = await Promise.all([cluster.kill('job-2'), cluster.add('job')]);
  expect(added).toBe('job-3');
  await whenListed(before + GARBAGE);
  // What would come twice comes before this, as its partitions are read in order; and a moment more for the others'.
  await kafka.send({ topic: 'halley-push', messages: [garbage('the last')] });
  await whenListed(before + GARBAGE + 1);
  await sleep(300);
  const places = (await listed()).map(placeOf);
  expect(places.length).toBe(new Set(places).size);
  expect(places).toHaveLength(before + GARBAGE + 1);
}, 60_000);
