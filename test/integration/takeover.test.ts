import { setTimeout as sleep } from 'node:timers/promises';

import { afterAll, afterEach, beforeAll, expect, test } from '@jest/globals';

import { CloseCode } from '@halley/protocol/close-code';
import { Operation } from '@halley/protocol/operation';

import { startCluster, type TestCluster } from '../harness/cluster.js';
import { type GoimClient, json, type Transport } from '../harness/goim-client.js';
import { unary } from '../harness/grpc.js';
import { metric } from '../harness/metrics.js';
import { faultsOf, NO_FAULTS, NumberedPushes, Receiver } from '../harness/numbered.js';
import { GrpcPusher, HttpPusher, pushClient, type Pusher } from '../harness/pushers.js';
import { connectTo } from '../harness/traffic.js';
import { newKey, newMid, newOp, newRoom } from '../harness/unique.js';
import { eventually } from '../harness/within.js';

/** The same key again, at another comet: the conformance suite has the case of one comet. */
const RECONNECTS = 20;
const PUSH_EVERY_MS = 10;
/** Time for what is cleaned up behind a connection that was taken over. */
const CLEANED_UP_MS = 2_000;

const TRANSPORTS: readonly Transport[] = ['tcp', 'ws'];
const PAIRS = TRANSPORTS.flatMap((from) => TRANSPORTS.map((to): [Transport, Transport] => [from, to]));

let cluster: TestCluster;
const clients: GoimClient[] = [];
const pushers: Pusher[] = [];

beforeAll(async () => {
  cluster = await startCluster();
}, 120_000);

afterEach(() => {
  for (const client of clients.splice(0)) client.close();
  for (const pusher of pushers.splice(0)) pusher.close();
});

afterAll(() => cluster?.stop(), 20_000);

async function connect(comet: string, transport: Transport): Promise<GoimClient> {
  const client = await connectTo(cluster, comet, transport);
  clients.push(client);
  return client;
}

async function open(comet: string, transport: Transport, token: object): Promise<GoimClient> {
  const client = await connect(comet, transport);
  await client.auth(token);
  return client;
}

/** One over each API, and at each logic. */
function openPushers(): readonly [Pusher, Pusher] {
  const opened = [
    new HttpPusher([`http://${cluster.address('logic-1', 'http')}`]),
    new GrpcPusher([cluster.address('logic-2', 'grpc')]),
  ] as const;
  pushers.push(...opened);
  return opened;
}

/** The user's connections as logic tells them: each key, and the gRPC address of its comet. */
async function routesOf(mid: bigint): Promise<{ key: string; grpc: string | undefined }[]> {
  const client = pushClient(cluster.address('logic-1', 'grpc'));
  try {
    const { users } = await unary(client.GetPresence.bind(client), { mids: [mid.toString()] });
    const { nodes } = await unary(client.ListNodes.bind(client), { tier: 'comet' });
    return (users[0]?.connections ?? []).map(({ key, node }) => ({
      key,
      grpc: nodes.find(({ id }) => id === node)?.addresses['grpc'],
    }));
  } finally {
    client.close();
  }
}

/** How often a logic has asked a comet to close a connection that was taken over, and the comet did. */
async function kicks(): Promise<number> {
  const counts = ['logic-1', 'logic-2'].map((logic) =>
    metric(cluster.address(logic, 'ops'), 'halley_logic_kicks_total', /reason="taken_over".*outcome="ok"/),
  );
  return (await Promise.all(counts)).reduce((sum, count) => sum + count, 0);
}

function takenOver(transport: Transport): number | undefined {
  // TCP has no close code: the connection ends.
  return transport === 'ws' ? CloseCode.TakenOver : undefined;
}

test.each(PAIRS)(
  'a key that connects again at another comet, %s then %s: the old one is closed, and pushes arrive at the new one only',
  async (from, to) => {
    const [mid, key, op, room] = [newMid(), newKey(), newOp(), newRoom()];
    const token = { mid, key, room_id: room.id, accepts: [op] };
    const [http, grpc] = openPushers();
    const kicksBefore = await kicks();
    const old = await open('comet-1', from, token);
    expect(await routesOf(mid)).toEqual([{ key, grpc: cluster.address('comet-1', 'grpc') }]);
    const now = await open('comet-2', to, token);
    expect((await old.end()).code).toBe(takenOver(from));
    // It was asked to, and did not only find out when it renewed its route.
    expect(await eventually(kicks, (count) => count > kicksBefore, 5_000, 20)).toBe(kicksBefore + 1);
    expect(await routesOf(mid)).toEqual([{ key, grpc: cluster.address('comet-2', 'grpc') }]);

    const streams = [
      new NumberedPushes('key', { key }, op),
      new NumberedPushes('user', { mid }, op),
      new NumberedPushes('room', { room }, op),
    ];
    const receiver = new Receiver('new', now, streams);
    for (const pusher of [http, grpc, http, grpc]) {
      for (const pushes of streams) expect(await pushes.push(pusher)).toEqual({ outcome: 'ok' });
    }
    await eventually(
      () => receiver.count,
      (count) => count >= 12,
      5_000,
      20,
    );
    // A second copy would be right behind.
    await sleep(200);
    expect(faultsOf([receiver])).toEqual(NO_FAULTS);
    expect(receiver.count).toBe(12);
    expect(old.waiting).toEqual([]);
  },
);

test(`${RECONNECTS} times in turn at both comets under traffic: nothing is lost after the last, and one route is left`, async () => {
  const [mid, key, op, room] = [newMid(), newKey(), newOp(), newRoom()];
  const token = { mid, key, room_id: room.id, accepts: [op] };
  const [http, grpc] = openPushers();
  const user = new NumberedPushes('user', { mid }, op);
  const own = new NumberedPushes('key', { key }, op);
  const all = new NumberedPushes('room', { room }, op);
  const end = new AbortController();
  const pushing = Promise.all(
    [
      [user, http],
      [own, grpc],
      [all, grpc],
    ].map(async ([pushes, pusher]) => {
      while (!end.signal.aborted) {
        await (pushes as NumberedPushes).push(pusher as Pusher);
        await sleep(PUSH_EVERY_MS);
      }
    }),
  );
  const place = (turn: number) => ({
    comet: `comet-${1 + (turn % 2)}`,
    transport: turn % 4 < 2 ? ('tcp' as const) : ('ws' as const),
  });
  // As a client that changes networks: its comet takes the route away while the other one writes it.
  const leavesBefore = (turn: number): boolean => turn % 3 === RECONNECTS % 3;
  const receivers: Receiver[] = [];
  const ends: Promise<number | undefined>[] = [];
  for (let turn = 0; turn <= RECONNECTS; turn += 1) {
    const { comet, transport } = place(turn);
    const client = await connect(comet, transport);
    const settled = client.auth(token);
    if (leavesBefore(turn)) receivers.at(-1)?.client.close();
    await settled;
    receivers.push(new Receiver(`${turn} ${comet} ${transport}`, client, [user, own, all]));
    if (turn < RECONNECTS) ends.push(client.end(30_000).then(({ code }) => code));
    // Every other time at once, while the one before is still being closed.
    if (turn % 2 === 0) await eventually(() => client.waiting.length > 0, Boolean, 5_000, 5);
  }
  const codes = await Promise.all(ends);
  const judged = [...codes.keys()].filter((turn) => !leavesBefore(turn + 1));
  expect(judged.map((turn) => codes[turn])).toEqual(judged.map((turn) => takenOver(place(turn).transport)));
  const last = receivers.at(-1);
  const since = Math.max(...[user, own, all].map(({ next }) => next));
  await eventually(
    () => own.next,
    (next) => next > since + 100,
    15_000,
    50,
  );
  await sleep(CLEANED_UP_MS);
  end.abort();
  await pushing;

  for (const receiver of receivers.slice(0, -1)) receiver.retire();
  const faults = await eventually(
    () => faultsOf(receivers),
    ({ lost }) => lost.length === 0,
    10_000,
    50,
  );
  expect(faults).toEqual(NO_FAULTS);
  for (const pushes of [user, own, all])
    expect(pushes.answers.filter((answer) => answer?.outcome !== 'ok')).toEqual([]);
  expect(twice(receivers, [user, own], since)).toEqual([]);
  expect(last?.count).toBeGreaterThan(100);
  const { comet } = place(RECONNECTS);
  expect(await routesOf(mid)).toEqual([{ key, grpc: cluster.address(comet, 'grpc') }]);
}, 90_000);

/**
 * Pushes to the user or its key, from this number on, that came twice: the one key has one route. Earlier ones may have come
 * again behind a reconnect, as these devices do not acknowledge.
 */
function twice(receivers: readonly Receiver[], streams: readonly NumberedPushes[], from: number): string[] {
  const seen = new Set<string>();
  const names = new Set(streams.map(({ name }) => name));
  const repeated: string[] = [];
  for (const body of receivers.flatMap(({ client }) =>
    client.waiting.map((frame) => frame.body.toString()),
  )) {
    const [name = '', number] = body.split('/');
    if (!names.has(name) || Number(number) < from) continue;
    if (seen.has(body)) repeated.push(body);
    seen.add(body);
  }
  return repeated;
}

test.each(TRANSPORTS)(
  'another user with the same key is refused at the other comet while the first lives, over %s, and let in afterwards',
  async (transport) => {
    const [mid, other, key, op] = [newMid(), newMid(), newKey(), newOp()];
    const [http, grpc] = openPushers();
    const owner = await open('comet-1', transport, { mid, key, accepts: [op] });
    const refused = await connect('comet-2', transport);
    refused.send({ op: Operation.Auth, seq: 1, body: Buffer.from(json({ mid: other, key, accepts: [op] })) });
    expect((await refused.end()).code).toBe(transport === 'ws' ? CloseCode.KeyInUse : undefined);
    expect(refused.wire).toEqual([]);

    const pushes = new NumberedPushes('key', { key }, op);
    const receiver = new Receiver('owner', owner, [pushes]);
    for (const pusher of [http, grpc]) expect(await pushes.push(pusher)).toEqual({ outcome: 'ok' });
    await eventually(
      () => receiver.count,
      (count) => count >= 2,
      5_000,
      20,
    );
    expect(faultsOf([receiver])).toEqual(NO_FAULTS);
    expect(await routesOf(mid)).toEqual([{ key, grpc: cluster.address('comet-1', 'grpc') }]);
    expect(await routesOf(other)).toEqual([]);

    owner.close();
    expect(
      await eventually(
        () => routesOf(mid),
        (routes) => routes.length === 0,
        5_000,
        50,
      ),
    ).toEqual([]);
    const next = await open('comet-2', transport, { mid: other, key, accepts: [op] });
    const taken = new Receiver('next', next, [pushes]);
    expect(await pushes.push(http)).toEqual({ outcome: 'ok' });
    await eventually(
      () => taken.count,
      (count) => count > 0,
      5_000,
      20,
    );
    expect(faultsOf([taken])).toEqual(NO_FAULTS);
  },
);
