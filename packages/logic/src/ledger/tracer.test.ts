import type { InspectedConnection__Output } from '@halley/cluster/grpc/gen/halley/delivery/v1/InspectedConnection';
import type { InspectRequest } from '@halley/cluster/grpc/gen/halley/delivery/v1/InspectRequest';
import type { ConnectionKey, NodeId, NodeRef, RoomId, UserId } from '@halley/protocol/ids';
import { HalleyError } from '@halley/protocol/error';
import { silentLogger } from '@halley/service/log';
import type { LedgerRow } from '@halley/store/ledger/ledger';
import { EmbeddedRoutes } from '@halley/store/routes/embedded';
import { shardOf } from '@halley/store/shard';
import type { Schedule } from '@halley/store/schedule/schedules';
import { afterAll, beforeAll, beforeEach, describe, expect, test } from '@jest/globals';

import { EPOCH, filledStores, type FilledStores, SHARDS } from '../testing/filled-stores.js';
import { makeTracer } from './assemble.js';

let stores: FilledStores;
let routes: EmbeddedRoutes;
let nowMs = Date.now();
let users = 0;
/** What comets say, by stream and comet; undefined is silent. */
let said: Map<string, (request: InspectRequest) => Partial<InspectedConnection__Output>[]>;
let schedules: Map<string, Partial<Schedule>>;
/** Records of halley-bulk that are not taken in. */
let bulkLag = 0;
const silent = new Set<string>();

beforeAll(async () => {
  stores = await filledStores();
});
afterAll(() => stores.stop());
beforeEach(() => {
  routes = new EmbeddedRoutes({ leaseMs: 60_000 });
  said = new Map();
  schedules = new Map();
  silent.clear();
  bulkLag = 0;
});

const key = (text: string): ConnectionKey => text as ConnectionKey;
const at = (node: string): NodeRef => ({ node: node as NodeId, incarnation: 'i1' });

/** A user nobody else uses, with entries at these positions of its stream. */
async function user(positions: readonly number[] = [], fields: object = {}) {
  users += 1;
  const mid = String(users) as UserId;
  const stream = `u/${mid}`;
  const shard = shardOf(stream, SHARDS);
  // Positions are ids here, and no two users have the same.
  const base = 1_000 * users;
  const placed = positions.map((position) => base + position);
  await stores.append(stream, placed, Math.max(...placed, base), { acceptedAtMs: () => nowMs, ...fields });
  return { mid, stream, shard, placed };
}

const tracer = () =>
  makeTracer({
    ...stores,
    config: {
      archive: { resumeMaxAgeMs: 7 * 86_400_000 },
      consume: { group: 'push' },
      bulk: { group: 'bulk' },
    } as never,
    bus: { lag: async (group) => (group === 'bulk' ? bulkLag : 0) },
    routes,
    comets: { nodes: () => [{ id: 'comet-1', incarnation: 'i1' }] } as never,
    schedules: { get: async (_: string, id: string) => schedules.get(id) } as never,
    cometClients: {
      inspect: async (node, request) => {
        if (silent.has(node.node)) throw new HalleyError('unavailable');
        return (request.entries ?? []).map(({ stream = '' }) => {
          const connections = (said.get(`${node.node} ${stream}`)?.(request) ?? []) as never[];
          const counts: Record<string, number> = {};
          for (const { state } of connections) counts[state] = (counts[state] ?? 0) + 1;
          return { counts, connections };
        });
      },
    },
    epoch: () => EPOCH,
    clock: { now: () => nowMs, monotonicMs: () => nowMs },
    log: silentLogger(),
  });
const trace = (id: string, caller = '', limit = 100, after = '') =>
  tracer().trace({ id, caller, limit, after });
const statesOf = async (id: string) =>
  Object.fromEntries((await trace(id)).devices.map((device) => [device.key, device.state]));
const idAt = (position: number): string => `id-${position}`;

async function cursor(stream: string, device: string, position: number, begins = false): Promise<void> {
  const owner = '0001767225600000-a-0000000001';
  await stores.streams.saveCursors([
    { stream, key: key(device), owner, epoch: EPOCH, position, ttlMs: 600_000, begins },
  ]);
}

const row = (id: string, fields: Partial<LedgerRow>): LedgerRow => {
  const rowId = Buffer.alloc(16);
  rowId.writeUInt32BE((users += 1), 12);
  const what = { kind: 'dropped', reason: 'room_slow', tier: 'comet', node: 'comet-1' } as const;
  return { rowId, id, caller: '', ...what, atMs: 1, lastAtMs: 1, stream: '', keys: [], count: 1, ...fields };
};

describe('an entry', () => {
  test('is found in the hot part and in the archive, under its caller alone', async () => {
    const { stream, shard, placed } = await user([0, 1]);
    const [first] = placed as [number];
    const hot = await trace(idAt(first));
    expect(hot).toMatchObject({
      state: 'waiting',
      streams: 1,
      durable: true,
      operation: 1_000,
      bodyBytes: 1,
    });
    expect(hot.appended).toMatchObject([{ stream, position: first, archived: false, epoch: EPOCH }]);
    await stores.archiveTo(shard, placed[1]!);
    expect((await trace(idAt(first))).appended).toMatchObject([{ stream, position: first, archived: true }]);
    expect(await trace(idAt(first), 'another')).toMatchObject({ state: 'unknown', streams: 0 });
  });

  test('waits for a device that is away, and that one which has it has acknowledged it', async () => {
    const { stream, placed } = await user([5, 9]);
    const [first, second] = placed as [number, number];
    for (const [device, begin, position] of [
      ['behind', first - 1, first],
      ['level', first - 1, second],
      ['newer', first, second],
    ] as const) {
      await cursor(stream, device, begin);
      await cursor(stream, device, position);
    }
    expect(await statesOf(idAt(first))).toEqual({
      behind: 'acknowledged',
      level: 'acknowledged',
      newer: 'earlier',
    });
    expect(await statesOf(idAt(second))).toEqual({
      behind: 'waiting',
      level: 'acknowledged',
      newer: 'acknowledged',
    });
  });

  test('of a connection is what its comet says; what it had before it connected, what was saved', async () => {
    const { mid, stream, placed } = await user([0]);
    const [position] = placed as [number];
    for (const device of ['a', 'b', 'c'])
      await routes.claim({ mid, key: key(`${device}${mid}`), at: at('comet-1'), counter: 1 });
    await cursor(stream, `b${mid}`, position - 1);
    await cursor(stream, `b${mid}`, position);
    said.set(`comet-1 ${stream}`, () => [
      { mid, key: `a${mid}`, state: 'sent', version: 2, transport: 'tcp', sent_position: '7' },
      { mid, key: `b${mid}`, state: 'earlier', version: 1 },
      { mid, key: `c${mid}`, state: 'earlier', version: 1 },
    ]);
    const found = await trace(idAt(position));
    expect(found.state).toBe('sent');
    expect(found.devices).toMatchObject([
      {
        key: `a${mid}`,
        state: 'sent',
        node: 'comet-1',
        transport: 'tcp',
        version: 2,
        by: 'ack',
        connected: true,
      },
      { key: `b${mid}`, state: 'acknowledged', by: 'heartbeat' },
      { key: `c${mid}`, state: 'earlier' },
    ]);
  });

  test('of a comet that does not answer is unknown, unless it was acknowledged before', async () => {
    const { mid, stream, placed } = await user([0]);
    const [position] = placed as [number];
    for (const device of ['a', 'b'])
      await routes.claim({ mid, key: key(`${device}${mid}`), at: at('comet-1'), counter: 1 });
    await cursor(stream, `b${mid}`, position - 1);
    await cursor(stream, `b${mid}`, position);
    silent.add('comet-1');
    const found = await trace(idAt(position));
    expect(found.devices).toMatchObject([{ state: 'unknown' }, { state: 'acknowledged' }]);
    expect(found.notes).toEqual(['comet-1 did not answer: how far its connections are is not known.']);
    expect(found.state).toBe('waiting');
  });

  test('for some devices names them, whether or not they were ever seen', async () => {
    const { stream, placed } = await user([0], { keys: [key('phone')] });
    await cursor(stream, 'web', placed[0]!);
    expect(await statesOf(idAt(placed[0]!))).toEqual({ phone: 'waiting', web: 'other_devices' });
  });

  test('that a device passed over because it had expired looks acknowledged, and is not', async () => {
    const { stream, placed } = await user([0], { expireAtMs: nowMs + 100 });
    const [position] = placed as [number];
    for (const device of ['early', 'late', 'away']) await cursor(stream, device, position - 1);
    for (const device of ['early', 'late']) await cursor(stream, device, position);
    const keys = [key('late')];
    await stores.ledger.write([
      row(idAt(position), { kind: 'expired', reason: 'expired', stream, position, keys }),
      row(idAt(position), {
        kind: 'expired',
        reason: 'expired',
        stream,
        position: position + 1,
        keys: [key('early')],
      }),
    ]);
    expect(await statesOf(idAt(position))).toEqual({
      away: 'waiting',
      early: 'acknowledged',
      late: 'expired',
    });
    nowMs += 200;
    const over = await trace(idAt(position));
    expect(over.counts).toMatchObject({ acknowledged: 1, expired: 2, waiting: 0 });
    expect(over.state).toBe('acknowledged');
    expect(over.notes.join(' ')).toContain('Its time has passed');
    expect(over.exceptions).toHaveLength(2);
  });

  test('of a room is told of by all comets that have members', async () => {
    const room = 'kept://1' as RoomId;
    const stream = `r/${room}`;
    const position = 1_000 * (users += 1);
    await stores.append(stream, [position], position, { acceptedAtMs: () => nowMs });
    for (const node of ['comet-1', 'comet-2']) {
      await routes.enterRoom(room, at(node));
      said.set(`${node} ${stream}`, () => [{ mid: '0', key: node, state: 'sent', version: 1 }]);
    }
    const found = await trace(idAt(position));
    expect(found.devices.map((device) => [device.key, device.state, device.mid])).toEqual([
      ['comet-1', 'sent', undefined],
      ['comet-2', 'sent', undefined],
    ]);
  });

  test('of many devices comes in pages, which go on where the one before ended', async () => {
    const { stream, placed } = await user([0]);
    const devices = ['d1', 'd10', 'd2', 'd3'];
    for (const device of devices) await cursor(stream, device, 0);
    const seen: string[] = [];
    let after = '';
    for (let page = 0; page < 3; page += 1) {
      const found = await trace(idAt(placed[0]!), '', 2, after);
      seen.push(...found.devices.map((device) => device.key));
      after = found.next;
      if (after === '') break;
    }
    expect(seen).toEqual(devices);
  });
});

describe('without an entry', () => {
  test.each([
    ['waiting', 'scheduled'],
    ['firing', 'scheduled'],
    ['cancelled', 'cancelled'],
    ['fired', 'fired'],
    ['failed', 'dead'],
  ] as const)('a schedule that is %s is %s', async (state, is) => {
    schedules.set('later', { state, acceptedAtMs: 5, dueAtMs: 9, bodyBytes: 3, expireAtMs: 0 });
    expect(await trace('later')).toMatchObject({ state: is, acceptedAtMs: 5, bodyBytes: 3, streams: 0 });
  });

  test('what went wrong says what became of it; nothing is unknown', async () => {
    await stores.ledger.write([
      row('gone', { kind: 'refused', reason: 'overloaded', tier: 'logic' }),
      row('gone', { reason: 'backlog', count: 40 }),
      row('', { kind: 'lost', count: 3, lastAtMs: nowMs }),
    ]);
    const found = await trace('gone');
    expect(found).toMatchObject({ state: 'dropped', lostReports: 3, moreExceptions: 0 });
    expect(found.exceptions.map(({ reason }) => reason).sort()).toEqual(['backlog', 'overloaded']);
    expect(await trace('never')).toMatchObject({ state: 'unknown', devices: [], exceptions: [] });
  });

  test('it may wait on the bus, which is told as long as anything does', async () => {
    const { placed } = await user([0]);
    schedules.set('later', { state: 'fired', acceptedAtMs: 5, dueAtMs: 9, bodyBytes: 3, expireAtMs: 0 });
    expect((await trace('never')).notes).toEqual([]);
    bulkLag = 7;
    const waits = [expect.stringContaining('7 records in halley-bulk')];
    expect(await trace('never')).toMatchObject({ state: 'unknown', notes: waits });
    expect(await trace('later')).toMatchObject({ state: 'fired', notes: waits });
    expect((await trace(idAt(placed[0]!))).notes).toEqual([]);
  });
});
