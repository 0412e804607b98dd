import { SendRequest, type SendReply } from '@halley/protocol/client/bodies';
import type { Write } from '@halley/protocol/client/message';
import { HalleyError } from '@halley/protocol/error';
import type { ConnectionKey, NodeId, UserId } from '@halley/protocol/ids';
import { beforeEach, describe, expect, test } from '@jest/globals';

import { Durability } from '../push/durability.js';
import type { PushOrigin } from '../push/accept.js';
import type { PushMessage } from '../push/target.js';
import type { ClientMessage } from '../upstream/receive.js';
import type { Asker } from './asker.js';
import { ClientSender } from './send.js';

const NOW = 1_900_000_000_000;
const ada: Asker = {
  at: { node: 'comet-1' as NodeId, incarnation: 'i1' },
  mid: '1' as UserId,
  key: 'web' as ConnectionKey,
  deadlineMs: 777,
  traceparent: 'of the call',
};
let accepted: { push: PushMessage; origin: PushOrigin }[];
let received: ClientMessage[];
let failure: HalleyError | undefined;
/** What was taken in, by stream and id. */
let applied: Map<string, number>;
/** What a look for an id waits for. */
let looking: (() => Promise<void>) | undefined;
let sender: ClientSender;

beforeEach(() => {
  accepted = [];
  received = [];
  failure = undefined;
  applied = new Map();
  looking = undefined;
  sender = new ClientSender({
    acceptor: {
      accept: async (push, origin) => {
        accepted.push({ push, origin });
        if (failure) throw failure;
      },
    },
    upstream: {
      receive: async (message) => {
        received.push(message);
        if (failure) throw failure;
        return message.id ?? '';
      },
    },
    streams: {
      appliedAt: async (stream, caller, id) => {
        await looking?.();
        return caller === 'client' ? applied.get(`${stream} ${id}`) : undefined;
      },
    },
    durability: new Durability({ durableRooms: ['chat://*'], durableAll: false }),
    maxBodyBytes: 100,
    epoch: () => 'e',
    clock: { now: () => NOW, monotonicMs: () => 0 },
  });
});

const send = (fields: Write<typeof SendRequest>, from = ada): Promise<Partial<SendReply>> => {
  const request = { clientId: 'c1', operation: 1_000, body: Buffer.from('hi'), ...fields };
  return sender.send(SendRequest.decode(SendRequest.encode(request)), from);
};
const user = (mid: string) => mid as UserId;

describe('a message of a client', () => {
  test('to a durable room is an entry of its stream, with who sent it', async () => {
    const reply = await send({ room: 'chat://1', expireAtMs: NOW + 1, traceparent: 'nonsense' });
    expect(reply).toEqual({
      id: expect.stringMatching(/^c-[\w-]{22}$/),
      stream: 'r/chat://1',
      epoch: 'e',
      acceptedAtMs: NOW,
    });
    expect(accepted).toEqual([
      {
        push: {
          id: reply.id,
          target: { kind: 'room', room: 'chat://1' },
          operation: 1_000,
          body: Buffer.from('hi'),
          durable: true,
          expireAtMs: NOW + 1,
          sender: { mid: '1', key: 'web', clientId: 'c1', toMid: '0' },
        },
        origin: { lane: 'client 1 web', caller: 'client', traceparent: 'of the call', deadlineMs: 777 },
      },
    ]);
  });

  test('to another room is not kept, and has no position there', async () => {
    expect(await send({ room: 'live://1' })).toMatchObject({ stream: 'r/live://1', epoch: '' });
    expect(accepted[0]?.push).toMatchObject({ durable: false });
  });

  test("to a user goes to the sender's devices too, once to oneself", async () => {
    const traceparent = '00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01';
    expect(await send({ toMid: user('2'), traceparent })).toMatchObject({ stream: 'u/1', epoch: 'e' });
    await send({ toMid: user('1'), clientId: 'c2' });
    expect(accepted.map(({ push }) => push.target)).toEqual([
      { kind: 'users', users: ['1', '2'] },
      { kind: 'users', users: ['1'] },
    ]);
    expect(accepted[0]).toMatchObject({
      push: { durable: true, sender: { toMid: '2' } },
      origin: { traceparent },
    });
  });

  test('of an anonymous connection has no inbox to appear in', async () => {
    const anonymous = { ...ada, mid: user('0') };
    expect(await send({ toMid: user('2') }, anonymous)).toMatchObject({ stream: '' });
    expect(accepted[0]?.push.target).toEqual({ kind: 'users', users: ['2'] });
  });

  test('without a target is for the business, with the same id when it comes again', async () => {
    const first = await send({ operation: 9 });
    expect(first).toEqual({ id: expect.stringMatching(/^c-/), acceptedAtMs: NOW });
    expect(await send({ operation: 9 })).toEqual(first);
    expect(received[1]).toEqual({
      mid: '1',
      key: 'web',
      server: 'comet-1',
      roomId: '',
      proto: { ver: 2, op: 9, seq: 0, body: Buffer.from('hi') },
      id: first.id,
    });
    expect(accepted).toEqual([]);
  });
});

describe('a client id', () => {
  const idOf = async (clientId: string, from = ada) => (await send({ room: 'chat://1', clientId }, from)).id;

  test('is one message of a user, on whichever device; of an anonymous one on its connection', async () => {
    const id = await idOf('a');
    expect(await idOf('a', { ...ada, key: 'phone' as ConnectionKey })).toBe(id);
    expect(await idOf('b')).not.toBe(id);
    expect(await idOf('a', { ...ada, mid: user('11') })).not.toBe(id);
    const anonymous = { ...ada, mid: user('0') };
    expect(await idOf('a', anonymous)).not.toBe(
      await idOf('a', { ...anonymous, key: 'other' as ConnectionKey }),
    );
  });

  test('that was taken in is not sent again: it is a duplicate, at its position', async () => {
    const { id } = await send({ room: 'chat://1' });
    applied.set(`r/chat://1 ${id}`, 4_096);
    const again = await send({ room: 'chat://1' });
    expect(again).toEqual({ id, stream: 'r/chat://1', epoch: 'e', position: 4_096, duplicate: true });
    expect(accepted).toHaveLength(1);
  });

  test('that was taken in by one of two users only is sent again', async () => {
    const { id } = await send({ toMid: user('2') });
    applied.set(`u/1 ${id}`, 5);
    expect(await send({ toMid: user('2') })).not.toHaveProperty('duplicate');
    applied.set(`u/2 ${id}`, 7);
    expect(await send({ toMid: user('2') })).toMatchObject({ position: 5, duplicate: true });
    expect(accepted).toHaveLength(2);
  });

  test('is sent again while nobody knows whether it was: job drops what is there', async () => {
    looking = () => Promise.reject(new HalleyError('store_unavailable'));
    expect(await send({ room: 'chat://1' })).toMatchObject({ acceptedAtMs: NOW });
    expect(accepted).toHaveLength(1);
  });

  test('messages of one connection keep their order, however long the look for their ids takes', async () => {
    const looks: (() => void)[] = [];
    looking = () => new Promise((resolve) => looks.push(resolve));
    const sent = [send({ room: 'chat://1', clientId: 'a' }), send({ room: 'chat://1', clientId: 'b' })];
    while (looks.length < 2) await Promise.resolve();
    const [first, second] = looks;
    second?.();
    await new Promise((resolve) => setImmediate(resolve));
    expect(accepted).toEqual([]);
    first?.();
    await Promise.all(sent);
    expect(accepted.map(({ push }) => push.sender?.clientId)).toEqual(['a', 'b']);
  });
});

describe('is refused', () => {
  const WRONG: readonly (readonly [string, Write<typeof SendRequest>])[] = [
    ['client_id: is empty', { room: 'r', clientId: '' }],
    ['client_id: 65 characters', { room: 'r', clientId: 'x'.repeat(65) }],
    ['room: and to_mid are both set', { room: 'r', toMid: user('2') }],
    ['room: 4097 characters', { room: 'r'.repeat(4_097) }],
    ["operation: 0 is the protocol's", { room: 'r', operation: 0 }],
    ["operation: 8 is the protocol's", { toMid: user('2'), operation: 8 }],
    ["operation: 63 is the protocol's", { toMid: user('2'), operation: 63 }],
    ["operation: -1 is the protocol's", { toMid: user('2'), operation: -1 }],
    ['expire_at_ms: has passed', { room: 'r', expireAtMs: NOW }],
  ];
  test.each(WRONG)('%s', async (message, fields) => {
    const error = { code: 'invalid_argument', message: expect.stringContaining(message) };
    await expect(send(fields)).rejects.toMatchObject(error);
    expect(accepted).toEqual([]);
  });

  test('a body that is too large, also for the business', async () => {
    for (const fields of [{ room: 'r' }, {}])
      await expect(send({ ...fields, body: Buffer.alloc(101) })).rejects.toMatchObject({
        code: 'body_too_large',
      });
    expect(received).toEqual([]);
  });

  test('what the bus refuses or does not know, as it is', async () => {
    failure = new HalleyError('bus_unknown');
    await expect(send({ room: 'r' })).rejects.toBe(failure);
    await expect(send({})).rejects.toBe(failure);
  });
});
