import { call } from '@halley/cluster/grpc/client';
import type { ConnectRequest } from '@halley/cluster/grpc/gen/halley/delivery/v1/ConnectRequest';
import {
  Ephemeral,
  HistoryReply,
  HistoryRequest,
  Receipts,
  SendReply,
  SendRequest,
} from '@halley/protocol/client/bodies';
import { HalleyError } from '@halley/protocol/error';
import type { UserId } from '@halley/protocol/ids';
import { OperationV2 } from '@halley/protocol/operation';
import { afterEach, beforeEach, describe, expect, test } from '@jest/globals';
import type { ServiceError } from '@grpc/grpc-js';

import { FakeBus } from '../testing/fake-bus.js';
import { filling, type FilledStores } from '../testing/filled-stores.js';
import { type LogicFixture, startLogic } from '../testing/logic-fixture.js';

const comet = { node: 'comet-1', incarnation: 'i1' };
let bus: FakeBus;
let logic: LogicFixture;
let stores: FilledStores;

beforeEach(async () => {
  bus = new FakeBus();
  logic = await startLogic(bus, ['--push.durableRooms', '[chat://*]']);
  stores = filling(logic.stores, bus.epoch);
});
afterEach(() => logic.stop());

const connect = (token: string, fields: ConnectRequest = {}) =>
  call(logic.sessions.Connect.bind(logic.sessions), {
    comet,
    counter: 1,
    token: Buffer.from(token),
    version2: {},
    ...fields,
  });
const ask = async (operation: number, body: Uint8Array, mid = '1', key = 'web') => {
  const request = { comet, mid, key, operation, body: Buffer.from(body) };
  return (await call(logic.sessions.Ask.bind(logic.sessions), request)).body;
};

describe('Connect with version 2', () => {
  test('grants everything to a plain token, and goes on at what the device or its user had', async () => {
    await stores.append('u/1', [10, 20, 30], 40);
    const first = await connect('{"mid":1}', { version2: { start: 'START_OLDEST' } });
    expect(first).toMatchObject({
      stream: { stream: 'u/1', epoch: bus.epoch, position: '-1' },
      keeps_cursor: true,
      at_end: false,
      publish_grants: [],
      publish_any: true,
      send_to_users: true,
      read: null,
    });
    const { mid, key, owner } = first;
    const cursor = { stream: 'u/1', epoch: bus.epoch, position: 20 };
    await call(logic.sessions.Disconnect.bind(logic.sessions), {
      comet,
      mid,
      key,
      owner,
      cursor,
      acknowledged: true,
    });
    expect((await connect('{"mid":1,"key":"other"}')).stream?.position).toBe('20');
    const given = await connect('{"mid":1,"key":"other"}', {
      version2: { cursor: { stream: 'u/1', epoch: 'older', position: 7 } },
    });
    expect(given.stream).toMatchObject({ epoch: 'older', position: '7' });
    expect(await connect('{"mid":1}', { version2: { start: 'START_NEWEST' } })).toMatchObject({
      stream: { position: '40' },
      at_end: true,
    });
  });

  test('tells how far the user has read, also of durable rooms, unless the store is away', async () => {
    await stores.append('u/1', [10, 20], 20);
    await stores.append('r/chat://1', [5], 6);
    const positions = [
      { stream: 'u/1', epoch: bus.epoch, position: 10 },
      { stream: 'r/chat://1', epoch: bus.epoch, position: 4 },
    ];
    await ask(OperationV2.Receipts, Receipts.encode({ positions }));
    const { read } = await connect('{"mid":1,"key":"k"}');
    expect(read).toMatchObject({ stream: 'u/1', epoch: bus.epoch, position: '10', unread: 1, mid: '0' });
    const open = () =>
      call(logic.sessions.OpenRooms.bind(logic.sessions), {
        comet,
        mid: '1',
        key: 'k',
        rooms: [{ room_id: 'live://1' }, { room_id: 'chat://1' }, { room_id: 'chat://2' }],
      });
    expect((await open()).rooms.map((room) => room.read?.position)).toEqual([undefined, '4', undefined]);
    stores.reads.get = () => Promise.reject(new HalleyError('store_unavailable'));
    expect((await connect('{"mid":1,"key":"k"}')).read).toBeNull();
    expect((await open()).rooms).toHaveLength(3);
  });
});

describe('Ask', () => {
  const send = async (fields: object) =>
    SendReply.decode(
      await ask(OperationV2.Send, SendRequest.encode({ clientId: 'c1', operation: 1_000, ...fields })),
    );

  test('Send writes to the room and to users with who sent it, and to the business', async () => {
    const toRoom = await send({ room: 'chat://1', body: Buffer.from('hi') });
    expect(toRoom).toMatchObject({ stream: 'r/chat://1', epoch: bus.epoch, duplicate: false });
    await send({ toMid: '2' as UserId });
    expect(bus.pushes().map(({ rooms, users, caller }) => [...rooms, ...users, caller])).toContainEqual([
      'chat://1',
      'client',
    ]);
    expect(bus.pushes()[0]).toMatchObject({
      id: toRoom.id,
      class: 'CLASS_DURABLE',
      body: Buffer.from('hi'),
      sender: { mid: '1', key: 'web', client_id: 'c1', to_mid: '0' },
      control: false,
    });
    expect(new Set(bus.pushes().flatMap(({ users }) => users))).toEqual(new Set(['1', '2']));
    const before = bus.calls.length;
    expect((await send({ operation: 4 })).stream).toBe('');
    expect(bus.calls.slice(before).map(({ topic }) => topic)).toEqual(['goim-receive-topic']);
  });

  test('what failed says whether it may have been sent, and when to repeat', async () => {
    const trailers = async (failure: Error) => {
      bus.answer = () => failure;
      const error = await send({ room: 'chat://1' }).catch((thrown: HalleyError) => thrown);
      const { metadata } = (error as HalleyError).cause as ServiceError;
      return ['halley-code', 'halley-outcome', 'retry-after-ms'].map((name) => metadata.get(name)[0]);
    };
    expect(await trailers(new HalleyError('bus_unknown'))).toEqual(['bus_unknown', 'unknown', undefined]);
    expect(await trailers(new HalleyError('bus_refused', '', { retryAfterMs: 70 }))).toEqual([
      'bus_refused',
      'refused',
      '70',
    ]);
    const metrics = await logic.metrics.registry.metrics();
    expect(metrics).toMatch(/halley_logic_asks_total\{operation="send",outcome="unknown"\} 1/);
    expect(metrics).toMatch(/halley_logic_ask_seconds_count\{operation="send"\} \d/);
  });

  test('History answers a page, and Receipts how the streams stand', async () => {
    await stores.append('u/1', [10, 20], 20);
    const page = HistoryReply.decode(
      await ask(OperationV2.History, HistoryRequest.encode({ stream: 'u/1', limit: 1 })),
    );
    expect(page).toMatchObject({ epoch: bus.epoch, entries: [{ position: 20 }], more: true });
    await connect('{"mid":1,"key":"web"}');
    await connect('{"mid":1,"key":"phone"}', { counter: 2 });
    const positions = [{ stream: 'u/1', epoch: bus.epoch, position: 10 }];
    const told = Receipts.decode(await ask(OperationV2.Receipts, Receipts.encode({ positions })));
    expect(told.positions).toMatchObject([{ ...positions[0], unread: 1 }]);
    for (let turn = 0; turn < 400 && bus.calls.length === 0; turn += 1)
      await new Promise((resolve) => setTimeout(resolve, 5));
    expect(bus.pushes()).toMatchObject([
      { operation: 31, keys: ['phone'], key_owners: ['1'], control: true, class: 'CLASS_EPHEMERAL' },
    ]);
  });

  test('Ephemeral is a frame for a room, and has no answer', async () => {
    const body = Ephemeral.encode({ room: 'live://1', operation: 1_000 });
    expect(await ask(OperationV2.Ephemeral, body)).toHaveLength(0);
    expect(bus.pushes()).toMatchObject([{ operation: 32, rooms: ['live://1'], control: true }]);
  });

  test('what it does not know is refused, and what is no message', async () => {
    await expect(ask(24, new Uint8Array(0))).rejects.toMatchObject({ code: 'unsupported_operation' });
    await expect(ask(OperationV2.Send, Buffer.from([0xff]))).rejects.toMatchObject({ code: 'bad_frame' });
  });
});

test('VerifyToken reads a token of the same user, for the same key where it names one', async () => {
  const verify = (token: string) =>
    call(logic.sessions.VerifyToken.bind(logic.sessions), {
      token: Buffer.from(token),
      mid: '1',
      key: 'k',
    });
  const granted = { any_room: true, publish_any: true, send_to_users: true, token_expires_at_ms: '0' };
  expect(await verify('{"mid":1}')).toMatchObject(granted);
  expect(await verify('{"mid":1,"key":"k"}')).toMatchObject(granted);
  for (const token of ['{"mid":2}', '{"mid":1,"key":"other"}', 'nonsense'])
    await expect(verify(token)).rejects.toMatchObject({ code: 'bad_token' });
});

test('Presence tells who is connected', async () => {
  await connect('{"mid":1,"key":"k"}');
  const presence = call(logic.sessions.Presence.bind(logic.sessions), { mids: ['2', '1'] });
  expect((await presence).users).toMatchObject([
    { mid: '2', online: false, platforms: [] },
    { mid: '1', online: true, last_seen_ms: '0' },
  ]);
});
