import { Ephemeral, Receipts, type ReadPosition } from '@halley/protocol/client/bodies';
import type { Write } from '@halley/protocol/client/message';
import { HalleyError } from '@halley/protocol/error';
import type { ConnectionKey, NodeId, UserId } from '@halley/protocol/ids';
import { silentLogger } from '@halley/service/log';
import { EmbeddedRoutes } from '@halley/store/routes/embedded';
import { beforeEach, describe, expect, test } from '@jest/globals';

import type { PushOrigin } from '../push/accept.js';
import type { PushMessage } from '../push/target.js';
import type { Asker } from './asker.js';
import { EphemeralSender } from './ephemeral.js';
import { presenceOf } from './presence.js';
import type { ReadUpTo } from './read-marks.js';
import { ReceiptTaker } from './receipts.js';

const NOW = 1_900_000_000_000;
const clock = { now: () => NOW, monotonicMs: () => 0 };
const at = { node: 'comet-1' as NodeId, incarnation: 'i1' };
const ada: Asker = {
  at,
  mid: '1' as UserId,
  key: 'web' as ConnectionKey,
  deadlineMs: 777,
  traceparent: 'of the call',
};
let routes: EmbeddedRoutes;
let accepted: { push: PushMessage; origin: PushOrigin }[];
let failure: HalleyError | undefined;
const acceptor = {
  accept: async (push: PushMessage, origin: PushOrigin) => {
    accepted.push({ push, origin });
    if (failure) throw failure;
  },
};
const connect = (mid: string, key: string) =>
  routes.claim({ mid: mid as UserId, key: key as ConnectionKey, at, counter: 1 });

beforeEach(() => {
  routes = new EmbeddedRoutes({ leaseMs: 60_000 });
  accepted = [];
  failure = undefined;
});

describe('what is worth nothing later', () => {
  const ephemeral = new EphemeralSender({ acceptor, clock });
  const send = (fields: Write<typeof Ephemeral>) => {
    const request = { operation: 1_000, body: Buffer.from('…'), ...fields };
    return ephemeral.send(Ephemeral.decode(Ephemeral.encode(request)), ada);
  };

  test('goes to a room or a user as a frame of version 2, with who sent it, whatever the client says', async () => {
    await send({ room: 'chat://1', ttlMs: 5_000, fromMid: '9' as UserId, fromKey: 'forged' });
    await send({ toMid: '2' as UserId });
    const [first, second] = accepted;
    expect(first).toMatchObject({
      push: {
        target: { kind: 'room', room: 'chat://1' },
        operation: 32,
        durable: false,
        control: true,
        expireAtMs: NOW + 15_000,
        sender: { mid: '1', key: 'web' },
      },
      origin: { caller: 'client', traceparent: 'of the call', deadlineMs: 777 },
    });
    expect(Ephemeral.decode(first!.push.body)).toEqual({
      room: 'chat://1',
      toMid: '0',
      operation: 1_000,
      body: Buffer.from('…'),
      ttlMs: 5_000,
      fromMid: '1',
      fromKey: 'web',
    });
    expect(second!.push.target).toEqual({ kind: 'users', users: ['2'] });
  });

  test.each<[string, Write<typeof Ephemeral>]>([
    ['room: and to_mid are both set', { room: 'r', toMid: '2' as UserId }],
    ['room: and to_mid are both missing', {}],
    ['ttl_ms', { room: 'r', ttlMs: -1 }],
    ['operation: 30', { room: 'r', operation: 30 }],
    ['body: 1025 bytes', { room: 'r', body: Buffer.alloc(1_025) }],
  ])('is refused: %s', async (message, fields) => {
    await expect(send(fields)).rejects.toThrow(message);
    expect(accepted).toEqual([]);
  });
});

describe('receipts', () => {
  let moved: boolean;
  let asked: { mid: UserId; positions: readonly ReadUpTo[] }[];
  const told = ({ stream, epoch, position }: ReadUpTo): ReadPosition => ({
    stream,
    epoch,
    position,
    mid: '0' as UserId,
    unread: 3,
    atMs: NOW,
  });
  const marks = {
    advance: async (mid: UserId, positions: readonly ReadUpTo[]) => {
      asked.push({ mid, positions });
      return { now: positions.map(told), moved: moved ? positions.slice(0, 1).map(told) : [] };
    },
  };
  const take = (
    positions: readonly Write<typeof Receipts.fields.positions>[] | readonly object[],
    from = ada,
  ) => {
    const taker = new ReceiptTaker({
      marks,
      routes,
      acceptor,
      receiptRooms: ['chat://*'],
      clock,
      log: silentLogger(),
    });
    return taker.take(Receipts.decode(Receipts.encode({ positions: positions as never })), from);
  };
  const settled = () => new Promise((resolve) => setImmediate(resolve));

  beforeEach(() => {
    moved = true;
    asked = [];
  });

  test('are answered as they stand, and what moved is told to the other devices of the user', async () => {
    await connect('1', 'web');
    await connect('1', 'phone');
    await connect('1', 'tablet');
    await connect('2', 'other');
    const positions = [
      { stream: 'u/1', epoch: 'e', position: 7 },
      { stream: 'r/chat://1', epoch: 'e', position: 8 },
    ];
    expect(await take(positions)).toEqual(positions.map(told));
    expect(asked).toMatchObject([{ mid: '1', positions }]);
    await settled();
    expect(accepted).toMatchObject([
      { push: { operation: 31, control: true, durable: false, expireAtMs: NOW + 60_000 } },
    ]);
    const { target, body } = accepted[0]!.push;
    expect(target.kind === 'keys' && target.keys.toSorted()).toEqual(['phone', 'tablet']);
    expect(Receipts.decode(body).positions).toEqual([told(positions[0]!)]);
  });

  test('that move nothing, and those of a user with one device, are told to nobody', async () => {
    await connect('1', 'web');
    await take([{ stream: 'u/1', epoch: 'e', position: 7 }]);
    await connect('1', 'phone');
    moved = false;
    await take([{ stream: 'u/1', epoch: 'e', position: 7 }]);
    await settled();
    expect(accepted).toEqual([]);
  });

  test('of a room are told to its members where the operator lets them, without what is unread', async () => {
    await take([{ stream: 'r/chat://1', epoch: 'e', position: 7 }]);
    await take([{ stream: 'r/live://1', epoch: 'e', position: 7 }]);
    await settled();
    expect(accepted.map(({ push }) => push.target)).toEqual([{ kind: 'room', room: 'chat://1' }]);
    expect(Receipts.decode(accepted[0]!.push.body).positions).toEqual([
      { ...told({ stream: 'r/chat://1', epoch: 'e', position: 7 }), mid: '1', unread: undefined },
    ]);
  });

  test('count when the other devices cannot be told', async () => {
    await connect('1', 'phone');
    failure = new HalleyError('bus_refused');
    expect(await take([{ stream: 'u/1', epoch: 'e', position: 7 }])).toHaveLength(1);
    await settled();
    expect(accepted).toHaveLength(1);
  });

  test.each([
    ['invalid_argument', 'positions[1].stream', [{ stream: 'u/1' }, { stream: 'u/2' }]],
    ['invalid_argument', 'positions[0].position: -2', [{ stream: 'u/1', position: -2 }]],
    ['limit_exceeded', '101, more than 100', Array.from({ length: 101 }, () => ({ stream: 'u/1' }))],
  ])('are refused as a whole: %s, %s', async (code, message, positions) => {
    await expect(take(positions)).rejects.toMatchObject({ code, message: expect.stringContaining(message) });
    expect(asked).toEqual([]);
  });

  test('of anonymous connections are refused', async () => {
    const anonymous = { ...ada, mid: '0' as UserId };
    await expect(take([{ stream: 'r/a' }], anonymous)).rejects.toMatchObject({ code: 'invalid_argument' });
  });
});

test('presence tells who is connected, in the order asked for', async () => {
  await connect('1', 'web');
  await connect('1', 'phone');
  await connect('3', 'other');
  expect(await presenceOf(['3', '2', '1', '3'], routes)).toEqual([
    { mid: '3', online: true },
    { mid: '2', online: false },
    { mid: '1', online: true },
    { mid: '3', online: true },
  ]);
  const many = Array.from({ length: 1_001 }, (_, index) => String(index));
  await expect(presenceOf(many, routes)).rejects.toMatchObject({ code: 'invalid_argument' });
});
