import { call } from '@halley/cluster/grpc/client';
import type { ReadHistoryRequest } from '@halley/cluster/grpc/gen/halley/push/v1/ReadHistoryRequest';
import { HalleyError } from '@halley/protocol/error';
import type { ConnectionKey, UserId } from '@halley/protocol/ids';
import { shardOf } from '@halley/store/shard';
import { afterEach, beforeEach, describe, expect, test } from '@jest/globals';

import { FakeBus } from '../testing/fake-bus.js';
import { filling, type FilledStores } from '../testing/filled-stores.js';
import { type LogicFixture, startLogic } from '../testing/logic-fixture.js';

let bus: FakeBus;
let logic: LogicFixture;
let stores: FilledStores;
const start = async (...flags: string[]) => {
  logic = await startLogic(bus, flags);
  stores = filling(logic.stores, bus.epoch);
};
beforeEach(() => {
  bus = new FakeBus();
});
afterEach(() => logic.stop());

/** Three entries of user 1, of which one is archived; keys, a caller and a body that is no text. */
const fill = async () => {
  const keys = ['phone' as ConnectionKey];
  const fields = { keys, caller: 'shop', expireAtMs: 4_102_444_800_000, body: Buffer.from([0, 255, 128]) };
  await stores.append('u/1', [10, 20, 30], 40, fields);
  await stores.archiveTo(shardOf('u/1', bus.partitions()), 15);
};
const grpc = (request: ReadHistoryRequest) => call(logic.history.ReadHistory.bind(logic.history), request);
const get = async (path: string, init: RequestInit = {}) => {
  const response = await fetch(`${logic.http}${path}`, init);
  const body = (await response.json()) as Record<string, unknown>;
  return { status: response.status, body, headers: response.headers };
};
const positionsOf = ({ body }: { body: Record<string, unknown> }) =>
  (body['entries'] as { position: number }[]).map(({ position }) => position);

describe('over gRPC', () => {
  test('a page of a user carries what was pushed, the newest first', async () => {
    await start();
    await fill();
    const reply = await grpc({ mid: '1', limit: 2 });
    expect(reply).toMatchObject({ epoch: bus.epoch, more: true });
    expect(reply.entries.map(({ position }) => position)).toEqual(['30', '20']);
    expect(reply.entries[0]).toEqual({
      position: '30',
      id: 'id-30',
      operation: 1000,
      body: Buffer.from([0, 255, 128]),
      keys: ['phone'],
      accepted_at_ms: '1030',
      expire_at_ms: '4102444800000',
      caller: 'shop',
      from_mid: '0',
      from_key: '',
      client_id: '',
      to_mid: '0',
    });
    const next = await grpc({ mid: '1', limit: 2, before: 20, epoch: reply.epoch });
    expect(next).toMatchObject({ entries: [{ position: '10' }], more: false });
  });

  test('what a client sent says who, over gRPC and HTTP', async () => {
    await start();
    const [mid, toMid] = ['9007199254740993', '1'] as UserId[];
    const sender = { mid: mid!, key: 'web' as ConnectionKey, clientId: 'c1', toMid: toMid! };
    await stores.append('u/1', [4], 4, { sender });
    const told = { from_mid: mid, from_key: 'web', client_id: 'c1', to_mid: '1' };
    expect((await grpc({ mid: '1' })).entries).toMatchObject([told]);
    expect((await get('/v1/history/users/1')).body['entries']).toMatchObject([told]);
  });

  test('of a room, the oldest first, between times', async () => {
    await start();
    await stores.append('r/live://1', [0, 1, 2, 3], 3);
    const page = await grpc({
      room: 'live://1',
      order: 'HISTORY_ORDER_OLDEST_FIRST',
      after: 0,
      from_ms: 1_000,
      to_ms: 1_003,
    });
    expect(page.entries.map(({ position }) => position)).toEqual(['1', '2']);
    expect((await grpc({ room: 'live://1', after: 0 })).entries).toHaveLength(3);
    expect((await grpc({ room: 'live://1' })).entries).toHaveLength(4);
  });

  test('50 entries are a page where nothing is said', async () => {
    await start();
    const positions = Array.from({ length: 60 }, (_, index) => index);
    await stores.append('u/1', positions, 60);
    expect((await grpc({ mid: '1' })).entries).toHaveLength(50);
    expect((await grpc({ mid: '1', limit: 1_000 })).entries).toHaveLength(60);
  });

  const WRONG: readonly (readonly [string, ReadHistoryRequest])[] = [
    ['target: exactly one of mid and room', {}],
    ['mid: 0 is anonymous', { mid: '0' }],
    ['room: is empty', { room: '' }],
    ['room: 5000 characters', { room: 'x'.repeat(5_000) }],
    ['order: 7 is no order', { mid: '1', order: 7 as never }],
    ['after: -1 is no position', { mid: '1', after: -1 }],
    ['before: 9007199254740993 is no position', { mid: '1', before: '9007199254740993' }],
    ['before: must be above after', { mid: '1', after: 5, before: 5 }],
    ['from_ms: must not be negative', { mid: '1', from_ms: -1 }],
    ['to_ms: must not be negative', { mid: '1', to_ms: -1 }],
    ['to_ms: must be later than from_ms', { mid: '1', from_ms: 5, to_ms: 5 }],
    ['limit: must not be negative', { mid: '1', limit: -1 }],
    ['limit: 1001, more than 1000', { mid: '1', limit: 1_001 }],
    ['epoch: the bus has begun another', { mid: '1', epoch: 'old', after: 3 }],
  ];
  test('what is wrong is named', async () => {
    await start();
    for (const [message, request] of WRONG) {
      await expect(grpc(request)).rejects.toMatchObject({
        code: 'invalid_argument',
        message: expect.stringContaining(message),
      });
    }
  });

  test('needs the scope history', async () => {
    await start('--api.keys', '[{ name: a, key: push-only, scopes: [push] }]');
    await expect(grpc({ mid: '1' })).rejects.toMatchObject({ code: 'unauthenticated' });
  });
});

describe('over HTTP', () => {
  test('a page of a user is JSON, bodies in base64', async () => {
    await start();
    await fill();
    const reply = await get('/v1/history/users/1?limit=1');
    expect(reply.status).toBe(200);
    expect(reply.headers.get('content-type')).toContain('application/json');
    expect(reply.body).toEqual({
      epoch: bus.epoch,
      entries: [
        {
          position: 30,
          id: 'id-30',
          operation: 1000,
          body: 'AP+A',
          keys: ['phone'],
          accepted_at_ms: 1030,
          expire_at_ms: 4_102_444_800_000,
          caller: 'shop',
        },
      ],
      more: true,
    });
    expect(positionsOf(await get('/v1/history/users/1?order=oldest&after=10&limit=5'))).toEqual([20, 30]);
    expect(positionsOf(await get('/v1/history/users/+01/?before=30'))).toEqual([20, 10]);
    expect(positionsOf(await get('/v1/history/users/1?from_ms=1020&to_ms=1030'))).toEqual([20]);
  });

  test('of a room named in the query, encoded or not', async () => {
    await start();
    await stores.append('r/live://1', [4], 4);
    expect(positionsOf(await get('/v1/history/rooms?room=live://1'))).toEqual([4]);
    expect(positionsOf(await get(`/v1/history/rooms?room=${encodeURIComponent('live://1')}`))).toEqual([4]);
    expect(positionsOf(await get('/v1/history/rooms?room=live://2'))).toEqual([]);
  });

  const WRONG = [
    ['mid: "x" is not a 64-bit integer', '/v1/history/users/x'],
    ['mid: 0 is anonymous', '/v1/history/users/0'],
    ['room: is empty', '/v1/history/rooms'],
    ['limit: "many" is no whole number', '/v1/history/users/1?limit=many'],
    ['limit: 1001, more than 1000', '/v1/history/users/1?limit=1001'],
    ['after: "" is not a 64-bit integer', '/v1/history/users/1?after='],
    ['order: "up" is neither newest nor oldest', '/v1/history/users/1?order=up'],
    ['since: there is no such field; there are order, after,', '/v1/history/users/1?since=5'],
    ['room: there is no such field', '/v1/history/users/1?room=r'],
    ['limit: stands more than once', '/v1/history/users/1?limit=1&limit=2'],
    ['to_ms: must be later than from_ms', '/v1/history/users/1?from_ms=2&to_ms=1'],
  ] as const;
  test('what is wrong is named', async () => {
    await start();
    for (const [message, path] of WRONG) {
      const { status, body } = await get(path);
      expect(status).toBe(400);
      expect(body).toMatchObject({ code: 'invalid_argument', detail: expect.stringContaining(message) });
    }
  });

  test('needs a key with the scope history', async () => {
    const entries = ['{ name: a, key: all }', '{ name: b, key: reads, scopes: [history] }'];
    await start('--api.keys', `[${entries.join(', ')}, { name: c, key: pushes, scopes: [push] }]`);
    const as = (key: string) => get('/v1/history/users/1', { headers: { authorization: `Bearer ${key}` } });
    expect((await as('all')).status).toBe(200);
    expect((await as('reads')).status).toBe(200);
    expect(await as('pushes')).toMatchObject({ status: 403, body: { code: 'permission_denied' } });
    const unknown = await as('unknown');
    expect(unknown).toMatchObject({ status: 401, body: { code: 'unauthenticated' } });
    expect(unknown.headers.get('www-authenticate')).toBe('Bearer');
  });

  test('while a store is away it is 503, to be repeated', async () => {
    await start();
    stores.streams.read = () => Promise.reject(new HalleyError('store_unavailable'));
    expect(await get('/v1/history/users/1')).toMatchObject({
      status: 503,
      body: { code: 'store_unavailable' },
    });
  });

  test('other paths and methods are told as such', async () => {
    await start();
    expect(await get('/v1/history/users')).toMatchObject({ status: 404, body: { code: 'not_found' } });
    for (const path of ['/v1/history/users/1', '/v1/history/rooms']) {
      const reply = await get(path, { method: 'POST' });
      expect(reply).toMatchObject({ status: 405, body: { detail: 'use GET' } });
      expect(reply.headers.get('allow')).toBe('GET');
    }
  });
});
