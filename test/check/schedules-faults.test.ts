import { setTimeout as sleep } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';

import { credentials, type ServiceError } from '@grpc/grpc-js';
import type { FaultTargets } from '@halley/bench/faults/fault';
import { readClusterFile } from '@halley/bench/faults/cluster-file';
import { clusterSlots } from '@halley/bench/faults/cluster-slots';
import { type Client, createClient, type TransportName } from '@halley/client/node';
import type { PushRequest } from '@halley/cluster/grpc/gen/halley/push/v1/PushRequest';
import { protos } from '@halley/cluster/grpc/protos';
import { afterAll, beforeAll, expect, test } from '@jest/globals';
import WebSocket from 'ws';

import { startCluster, type TestCluster } from '../harness/cluster.js';
import { unary } from '../harness/grpc.js';
import { metric } from '../harness/metrics.js';
import { pushClient } from '../harness/pushers.js';
import { newKey, newMid, newOp, newRoom } from '../harness/unique.js';
import { eventually } from '../harness/within.js';

/**
 * Pushes for later, while a comet, a logic and a job are killed in turn and started again. The whole round, minutes long:
 * HALLEY_TEST_SCHEDULED=1000 HALLEY_TEST_SCHEDULED_SECONDS=120, which also prints how late they were.
 */
const PUSHES = Number(process.env['HALLEY_TEST_SCHEDULED'] ?? 150);
const SPAN_MS = Number(process.env['HALLEY_TEST_SCHEDULED_SECONDS'] ?? 14) * 1_000;
const IS_LONG = process.env['HALLEY_TEST_SCHEDULED'] !== undefined;
/** Once all nodes are ready. */
const LATE_MS = 2_000;
const BETWEEN_KILLS_MS = IS_LONG ? 4_000 : 500;
const HALLEY = fileURLToPath(new URL('../../packages/cli/bin/halley.js', import.meta.url));
const TRANSPORTS: readonly TransportName[] = ['tcp', 'websocket', 'sse', 'poll'];

interface Shown {
  readonly id: string;
  readonly device: number;
  readonly atMs: number;
}

interface Kill {
  readonly name: string;
  readonly fromMs: number;
  readonly healedAtMs: number;
}

let cluster: TestCluster;
let nodes: FaultTargets['nodes'];
let push: ReturnType<typeof pushClient>;
let schedules: InstanceType<typeof protos.halley.push.v1.ScheduleService>;
let history: InstanceType<typeof protos.halley.push.v1.HistoryService>;
const clients: Client[] = [];
const shown: Shown[] = [];
const op = newOp();
const room = newRoom();
/** One for each transport, and one who is away. */
const mids = [...TRANSPORTS.map(() => newMid()), newMid()];
const AWAY = TRANSPORTS.length;

beforeAll(async () => {
  cluster = await startCluster();
  const file = await readClusterFile(cluster.cluster.stateFile.file);
  ({ nodes } = clusterSlots(file, {
    command: [process.execPath, HALLEY],
    onServiceRestarted: () => Promise.resolve(),
  }));
  const logics = ['logic-1', 'logic-2'].map((name) => cluster.address(name, 'grpc'));
  push = pushClient(...logics);
  const channel = [`ipv4:${logics.join(',')}`, credentials.createInsecure(), ROUND_ROBIN] as const;
  schedules = new protos.halley.push.v1.ScheduleService(...channel);
  history = new protos.halley.push.v1.HistoryService(...channel);
  await Promise.all(TRANSPORTS.map((_, device) => connect(device)));
}, 120_000);

afterAll(async () => {
  for (const client of clients) client.close();
  push?.close();
  schedules?.close();
  history?.close();
  await cluster?.stop();
}, 30_000);

const ROUND_ROBIN = {
  'grpc.service_config': JSON.stringify({ loadBalancingConfig: [{ round_robin: {} }] }),
  'grpc.initial_reconnect_backoff_ms': 100,
  'grpc.max_reconnect_backoff_ms': 1_000,
};

async function connect(device: number): Promise<void> {
  const transport = TRANSPORTS[device] ?? 'tcp';
  const comets = ['comet-1', 'comet-2'];
  const client = createClient({
    addresses: comets.map((comet) =>
      transport === 'tcp'
        ? `tcp://${cluster.address(comet, 'tcp')}`
        : `ws://${cluster.address(comet, 'ws')}/sub`,
    ),
    ...(transport === 'tcp' ? {} : { transports: [transport] }),
    token: `{"mid":${mids[device]},"key":"${newKey()}","platform":"test","accepts":[${op}]}`,
    WebSocket: WebSocket as never,
    backoff: { baseMs: 50, maxMs: 500 },
  });
  client.on('message', ({ body }) => {
    shown.push({ id: Buffer.from(body).toString(), device, atMs: Date.now() });
  });
  clients.push(client);
  await client.connect();
  await client.join(room.id);
}

/** Repeats under the same id until it is known; answers the code of an error that is final. */
async function repeated(call: () => Promise<unknown>): Promise<string> {
  for (;;) {
    try {
      await call();
      return 'ok';
    } catch (error) {
      const code = String((error as ServiceError).metadata?.get('halley-code')[0]);
      if (code === 'too_late') return code;
      await sleep(100);
    }
  }
}

/** Pushes a batch, again until each is taken. */
async function pushAll(requests: readonly PushRequest[]): Promise<void> {
  for (let at = 0; at < requests.length; at += 100)
    await repeated(async () => {
      const { results } = await unary(push.PushBatch.bind(push), { requests: requests.slice(at, at + 100) });
      if (!results?.every(({ outcome }) => outcome === 'OUTCOME_OK'))
        throw new Error(JSON.stringify(results));
    });
}

const toUser = (device: number) => ({ users: { mids: [String(mids[device])] } });
const request = (id: string, fields: Partial<PushRequest>): PushRequest => ({
  id,
  operation: op,
  body: Buffer.from(id),
  ...fields,
});

/** The ids of all that a user was ever sent. */
async function idsOf(device: number): Promise<string[]> {
  const ids: string[] = [];
  let after: string | undefined;
  for (let more = true; more;) {
    const page = await unary(history.ReadHistory.bind(history), {
      mid: String(mids[device]),
      order: 'HISTORY_ORDER_OLDEST_FIRST',
      ...(after === undefined ? {} : { after }),
      limit: 1_000,
    });
    for (const { id = '', position } of page.entries ?? []) {
      ids.push(id);
      after = String(position);
    }
    more = page.more ?? false;
  }
  return ids;
}

/** Kills and starts again a job, a comet and a logic, and the other ones of each, until the time is over. */
async function killInTurn(untilMs: number): Promise<Kill[]> {
  const kills: Kill[] = [];
  const names = [1, 2].flatMap((index) => ['job', 'comet', 'logic'].map((tier) => `${tier}-${index}`));
  for (let turn = 0; turn < 3 || Date.now() < untilMs; turn += 1) {
    const node = nodes.find(({ name }) => name === names[turn % names.length]);
    if (!node) throw new Error(`there is no ${names[turn % names.length]}`);
    await sleep(BETWEEN_KILLS_MS);
    const fromMs = Date.now();
    await node.kill();
    await node.start();
    kills.push({ name: node.name, fromMs, healedAtMs: Date.now() });
  }
  return kills;
}

/** How late it was, counted from when the cluster stood. */
function lateness(
  atMs: number,
  dueAtMs: number,
  kills: readonly Kill[],
): { lateMs: number; inKill: boolean } {
  const during = kills.filter(({ fromMs, healedAtMs }) => fromMs <= atMs && healedAtMs >= dueAtMs);
  const stoodAtMs = during.reduce((last, { healedAtMs }) => Math.max(last, healedAtMs), dueAtMs);
  return { lateMs: Math.max(0, atMs - stoodAtMs), inKill: during.length > 0 };
}

function tell(what: string, values: readonly number[]): void {
  const sorted = values.toSorted((a, b) => a - b);
  const at = (share: number): string => `${sorted[Math.floor((sorted.length - 1) * share)]} ms`;
  process.stderr.write(
    `${what}: ${sorted.length}, median ${at(0.5)}, p90 ${at(0.9)}, p99 ${at(0.99)}, max ${at(1)}\n`,
  );
}

test(
  `${PUSHES} over ${SPAN_MS} ms, every tier killed in turn: each fires once, none early or late, the cancelled never`,
  async () => {
    const base = Date.now() + 2_500;
    const pushes = Array.from({ length: PUSHES }, (_, index) => ({
      id: `s${index}`,
      at: base + Math.floor((index * SPAN_MS) / PUSHES),
      device: index % TRANSPORTS.length,
      cancelled: index % 7 === 3,
    }));
    await pushAll(
      pushes.map(({ id, at, device }) => request(id, { deliver_at_ms: at, target: toUser(device) })),
    );
    const cancel = (id: string) => repeated(() => unary(schedules.Cancel.bind(schedules), { id }));
    const killing = killInTurn(base + SPAN_MS);
    const answers = new Map<string, string>();
    await Promise.all(
      pushes
        .filter(({ cancelled }) => cancelled)
        .map(async ({ id, at }, index) => {
          // From long before its time until somewhat after.
          await sleep(at - 700 + (index % 12) * 100 - Date.now());
          answers.set(id, await cancel(id));
        }),
    );
    const kills = await killing;
    const fired = pushes.filter(({ id }) => answers.get(id) !== 'ok');
    await eventually(
      () => shown.length,
      (count) => count >= fired.length,
      20_000,
      50,
    );
    expect([...answers.values()]).toContain('ok');
    expect(await cancel(fired[0]?.id ?? '')).toBe('too_late');
    expect(shown.map(({ id }) => id).toSorted()).toEqual(fired.map(({ id }) => id).toSorted());
    // Clients know ids: what came twice would be in the history twice.
    for (const device of TRANSPORTS.keys())
      expect((await idsOf(device)).toSorted()).toEqual(
        fired.flatMap((one) => (one.device === device ? one.id : [])).toSorted(),
      );
    const times = fired.map(({ id, at }) => {
      const { atMs = 0 } = shown.find((one) => one.id === id) ?? {};
      return { id, earlyMs: at - atMs, afterMs: atMs - at, ...lateness(atMs, at, kills) };
    });
    if (IS_LONG) {
      const ofKind = (inKill: boolean) => times.filter((one) => one.inKill === inKill);
      process.stderr.write(
        `${kills.map(({ name, fromMs, healedAtMs }) => `${name} ${healedAtMs - fromMs} ms`).join(', ')}\n` +
          `cancelled ${PUSHES - fired.length}, too late ${fired.length - PUSHES + answers.size}\n`,
      );
      tell(
        'late, no node away',
        ofKind(false).map(({ afterMs }) => afterMs),
      );
      tell(
        'late, a node away',
        ofKind(true).map(({ afterMs }) => afterMs),
      );
      tell(
        'the same, from when all were ready',
        ofKind(true).map(({ lateMs }) => lateMs),
      );
    }
    expect(times.filter(({ earlyMs }) => earlyMs > 0)).toEqual([]);
    expect(times.filter(({ lateMs }) => lateMs > LATE_MS)).toEqual([]);
  },
  SPAN_MS + 120_000,
);

test('what has expired is shown nowhere, and counted where it was dropped', async () => {
  const COUNTERS = [
    ['job', 'halley_job_deliveries_total', /result="expired"/],
    ['comet', 'halley_comet_messages_dropped_total', /reason="expired"/],
    ['logic', 'halley_logic_entries_left_out_total', /reason="expired"/],
  ] as const;
  const counted = async (): Promise<number[]> =>
    Promise.all(
      COUNTERS.map(async ([tier, name, labels]) => {
        const [one, two] = await Promise.all(
          [1, 2].map((index) => metric(cluster.address(`${tier}-${index}`, 'ops'), name, labels)),
        );
        return (one ?? 0) + (two ?? 0);
      }),
    );
  const before = await counted();
  shown.length = 0;
  const jobs = nodes.filter(({ name }) => name.startsWith('job-'));
  const at = Date.now() + 500;
  const late = Array.from({ length: 40 }, (_, index) =>
    request(`e${index}`, {
      deliver_at_ms: at,
      expire_at_ms: at + 300,
      target: index % 4 === 3 ? { room: room.id } : toUser(index % 3),
    }),
  );
  const forAway = Array.from({ length: 10 }, (_, index) =>
    request(`a${index}`, { deliver_at_ms: at - 400, expire_at_ms: at + 300, target: toUser(AWAY) }),
  );
  await pushAll([...late, ...forAway]);
  // Those who are due while no job runs are late for their expiry; the others expire while their user is away.
  await eventually(
    () => idsOf(AWAY),
    (ids) => ids.length === forAway.length,
    300,
    20,
  );
  for (const job of jobs) job.pause();
  await sleep(at + 500 - Date.now());
  for (const job of jobs) job.resume();
  await pushAll(
    [...TRANSPORTS.keys()].map((device) => request(`last ${device}`, { target: toUser(device) })),
  );
  await eventually(
    () => shown.length,
    (count) => count >= TRANSPORTS.length,
    15_000,
    50,
  );
  await connect(AWAY);
  await pushAll([request('last away', { target: toUser(AWAY) })]);
  await eventually(
    () => shown.length,
    (count) => count > TRANSPORTS.length,
    15_000,
    50,
  );
  // Those to the room are in a partition of their own.
  const dropped = async (): Promise<{ live: number; read: number }> => {
    const [job = 0, comet = 0, logic = 0] = (await counted()).map((count, at) => count - (before[at] ?? 0));
    return { live: job + comet, read: logic };
  };
  const isAll = (now: Awaited<ReturnType<typeof dropped>>): boolean =>
    now.live >= late.length && now.read >= forAway.length;
  const { live, read } = await eventually(dropped, isAll, 15_000, 50);
  expect(live).toBeGreaterThanOrEqual(late.length);
  expect(read).toBeGreaterThanOrEqual(forAway.length);
  expect(shown.map(({ id }) => id).toSorted()).toEqual(
    [...[...TRANSPORTS.keys()].map((device) => `last ${device}`), 'last away'].toSorted(),
  );
}, 60_000);
