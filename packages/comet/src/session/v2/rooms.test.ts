import { afterEach, beforeEach, describe, expect, test } from '@jest/globals';
import { RoomsReply, RoomsRequest, TokenReply, TokenRequest } from '@halley/protocol/client/bodies';
import type { Write } from '@halley/protocol/client/message';
import { HalleyError } from '@halley/protocol/error';
import { readInt32 } from '@halley/protocol/frame';
import { OperationV2 } from '@halley/protocol/operation';

import type { Delivered } from '../../delivery/deliverer.js';
import { outgoing } from '../../delivery/outgoing.js';
import { CometHarness, until } from '../../testing/harness.js';
import type { Version2Client } from '../../testing/version2-client.js';

const TOKEN = { mid: 1, key: 'k', accepts: [5] };

let harness: CometHarness;
beforeEach(async () => {
  harness = await CometHarness.start({
    presence: { pollMs: 3_600_000 },
    renewal: { intervalMs: 3_600_000, roundMs: 3_600_000, figuresMs: 3_600_000 },
    leaveRoomAfterMs: 10,
    session: { maxRooms: 3 },
  });
});
afterEach(() => harness.stop());

const ask = async (
  client: Version2Client,
  request: Write<typeof RoomsRequest>,
): Promise<RoomsReply['answers']> =>
  (await client.ask(OperationV2.Rooms, RoomsRequest, request, OperationV2.RoomsReply, RoomsReply)).answers;
/** Joins rooms from now on; `ok`, or the code of the fault, of each. */
const join = async (client: Version2Client, ...rooms: string[]): Promise<string[]> => {
  const answers = await ask(client, { join: rooms.map((room) => ({ room })) });
  expect(answers.map(({ room }) => room)).toEqual(rooms);
  return answers.map(({ error }) => error?.code ?? 'ok');
};
const say = (room: string, text: string): void =>
  harness.comet.deliverer.toRoom(room, outgoing(9_999, Buffer.from(text)));
const membersOf = (room: string): number => harness.comet.rooms.get(room as never)?.size ?? 0;

describe('a connection with version 2', () => {
  test('is in many rooms at once, beside others with either version', async () => {
    const [client, other] = [await harness.version2(TOKEN), await harness.version2({ mid: 2 }, {}, 'ws')];
    const old = await harness.tcpOf({ mid: 3, room_id: 'b' });
    expect(await join(client, 'a', 'b', 'c')).toEqual(['ok', 'ok', 'ok']);
    expect(await join(other, 'b')).toEqual(['ok']);
    for (const room of ['a', 'b', 'c']) say(room, `to ${room}`);
    const got: string[] = [];
    for (let i = 0; i < 3; i += 1) {
      const { stream, entries } = await client.delivered();
      got.push(`${stream} ${Buffer.from(entries[0]?.body ?? []).toString()}`);
    }
    expect(got).toEqual(['r/a to a', 'r/b to b', 'r/c to c']);
    expect(await other.entries(1)).toEqual(['0 9999:to b']);
    expect(await old.texts(1)).toEqual(['9999:to b']);
    expect([membersOf('a'), membersOf('b'), membersOf('c')]).toEqual([1, 3, 1]);
  });

  test('leaves some while it joins others, and gets nothing of those behind the answer', async () => {
    const client = await harness.version2(TOKEN);
    await join(client, 'a', 'b', 'c');
    const answers = await ask(client, { join: [{ room: 'd' }], leave: ['a', 'nowhere'] });
    expect(answers.map(({ room, error }) => [room, error?.code])).toEqual([
      ['d', undefined],
      ['a', undefined],
      ['nowhere', undefined],
    ]);
    say('a', 'x');
    say('d', 'y');
    expect(await client.entries(1)).toEqual(['0 9999:y']);
    await until(() => !harness.logic.rooms.has('a'));
    expect([...harness.logic.rooms].sort()).toEqual(['b', 'c', 'd']);
  });

  test('is refused rooms that are not granted, each time, or too many, or without a name', async () => {
    harness.logic.answer = { anyRoom: false, roomGrants: ['a*'] };
    const client = await harness.version2(TOKEN);
    expect(await join(client, 'a1', 'b', 'a1', '')).toEqual([
      'ok',
      'room_not_granted',
      'ok',
      'invalid_argument',
    ]);
    expect(await join(client, 'a2', 'a3', 'a4', 'a1')).toEqual(['ok', 'ok', 'limit_exceeded', 'ok']);
    expect(membersOf('a1')).toBe(1);
  });

  test('is told which rooms could not be written, and is in the others', async () => {
    const client = await harness.version2(TOKEN);
    const enter = harness.logic.enterRoom.bind(harness.logic);
    harness.logic.enterRoom = (room) =>
      room === ('b' as never) ? Promise.reject(new HalleyError('store_unavailable')) : enter(room);
    const answers = await ask(client, { join: [{ room: 'a' }, { room: 'b' }] });
    expect(answers.map(({ error }) => error?.code)).toEqual([undefined, 'store_unavailable']);
    expect(answers[1]?.error).toMatchObject({ temporary: true });
    expect([membersOf('a'), membersOf('b')]).toEqual([1, 0]);
    harness.logic.enterRoom = enter;
    expect(await join(client, 'b')).toEqual(['ok']);
  });

  test('names a room twice and is in it once', async () => {
    const client = await harness.version2(TOKEN);
    expect(await join(client, 'a', 'a')).toEqual(['ok', 'ok']);
    await ask(client, { leave: ['a'] });
    await until(() => !harness.logic.rooms.has('a'));
    const answers = await ask(client, { join: [{ room: 'b' }], leave: ['b'] });
    expect(answers).toHaveLength(2);
    expect(membersOf('b')).toBe(1);
  });

  test('that goes meanwhile leaves nothing behind', async () => {
    const client = await harness.version2(TOKEN);
    await join(client, 'a');
    let letGo = (): void => undefined;
    harness.logic.gate = new Promise((resolve) => (letGo = resolve));
    client.request(OperationV2.Rooms, RoomsRequest, { join: [{ room: 'b' }] });
    await until(() => harness.logic.calls.includes('enter b'));
    client.cutOff();
    await until(() => harness.comet.table.size === 0);
    letGo();
    await until(() => harness.comet.rooms.size === 0 && harness.logic.rooms.size === 0);
    await until(() => harness.comet.directory.size === 0);
    expect(harness.comet.streams.size).toBe(0);
  });

  test('hears with its heartbeat how many are in the room of its token, while it is in it', async () => {
    const client = await harness.version2({ ...TOKEN, room_id: 'a' });
    await harness.tcpOf({ mid: 2, room_id: 'a' });
    const online = async (): Promise<number> => {
      client.raw(2, Buffer.alloc(0));
      return readInt32((await client.next()).body, 0);
    };
    await join(client, 'b');
    expect(await online()).toBe(2);
    await ask(client, { leave: ['a'] });
    expect(await online()).toBe(0);
  });

  test('comes in without the room of its token where that is not granted', async () => {
    harness.logic.answer = { anyRoom: false, roomGrants: ['b'] };
    const client = await harness.version2({ ...TOKEN, room_id: 'a' });
    expect(client.auth.room).toBe('');
    expect(harness.comet.rooms.size).toBe(0);
  });
});

describe('a room whose messages are kept', () => {
  const append = (text: string): Delivered =>
    harness.logic.streams.append('r/d', { operation: 9_999, body: Buffer.from(text) });
  const tell = (hint: Delivered): void =>
    harness.comet.deliverer.deliver({ epoch: 'e1', topic: 't', partition: 0 }, hint);
  beforeEach(() => {
    harness.logic.durableRooms.add('d');
  });

  test('is joined at its end, and followed', async () => {
    append('before');
    const client = await harness.version2(TOKEN);
    const [answer] = await ask(client, { join: [{ room: 'd' }] });
    expect(answer).toMatchObject({ room: 'd', durable: true, epoch: 'e1', position: 0 });
    tell(append('after'));
    expect(await client.delivered()).toMatchObject({
      stream: 'r/d',
      epoch: 'e1',
      after: 0,
      through: 1,
      entries: [{ position: 1 }],
    });
    const reads = harness.logic.streams.calls.flat().filter(({ stream }) => stream === 'r/d');
    expect(reads).toEqual([]);
  });

  test('is joined behind a cursor, also again while one is in it', async () => {
    for (const text of ['a', 'b', 'c']) append(text);
    const client = await harness.version2(TOKEN);
    const behind = (position: number) => ({ join: [{ room: 'd', epoch: 'e1', position }] });
    expect((await ask(client, behind(0)))[0]).toMatchObject({ position: 0 });
    expect(await client.entries(2)).toEqual(['1 9999:b', '2 9999:c']);
    expect((await ask(client, { join: [{ room: 'd' }] }))[0]).toMatchObject({ durable: true, position: 2 });
    expect((await ask(client, behind(1)))[0]).toMatchObject({ position: 1 });
    expect(await client.entries(1)).toEqual(['2 9999:c']);
    expect(harness.comet.streams.size).toBe(2);
    expect(membersOf('d')).toBe(1);
  });

  test('brings what is worth nothing later beside its stream', async () => {
    const client = await harness.version2(TOKEN);
    await join(client, 'd');
    say('d', 'typing');
    expect(await client.delivered()).toMatchObject({ stream: 'r/d', epoch: '' });
  });

  test('has a window of its own, and is followed no longer once it was left', async () => {
    const client = await harness.version2(TOKEN);
    await join(client, 'd');
    tell(append('x'));
    await client.entries(1);
    client.ack('r/d', 'e1', 0);
    await ask(client, { leave: ['d'] });
    tell(append('y'));
    expect(await client.rest()).toEqual([]);
    expect(harness.comet.streams.size).toBe(1);
  });

  test('that cannot be opened is not entered', async () => {
    const client = await harness.version2(TOKEN);
    harness.logic.openRooms = () => Promise.reject(new HalleyError('store_unavailable'));
    expect(await join(client, 'd', 'e')).toEqual(['store_unavailable', 'ok']);
    expect([membersOf('d'), membersOf('e')]).toEqual([0, 1]);
    await until(() => !harness.logic.rooms.has('d'));
  });

  test('of the token is followed from its end', async () => {
    append('before');
    const client = await harness.version2({ ...TOKEN, room_id: 'd' });
    expect(client.auth.room).toBe('d');
    tell(append('after'));
    expect(await client.entries(1)).toEqual(['1 9999:after']);
  });
});

describe('another token', () => {
  const refresh = (client: Version2Client, token: string): number =>
    client.request(OperationV2.Token, TokenRequest, { token });

  test('counts from now on: its rooms, its time', async () => {
    const client = await harness.version2(TOKEN);
    await join(client, 'a', 'b');
    const tokenExpiresAtMs = Date.now() + 400;
    harness.logic.tokens.set('new', { tokenExpiresAtMs, anyRoom: false, roomGrants: ['b', 'c'] });
    const reply = await client.reply(OperationV2.TokenReply, TokenReply, refresh(client, 'new'));
    expect(reply).toEqual({ tokenExpiresAtMs, leftRooms: ['a'] });
    expect(await join(client, 'c', 'a')).toEqual(['ok', 'room_not_granted']);
    expect((await client.end()).close?.code).toBe(3009);
  });

  test('that is bad changes nothing', async () => {
    const client = await harness.version2(TOKEN);
    expect(await client.refusal(refresh(client, 'bad'))).toBe('bad_token');
    expect(await join(client, 'a')).toEqual(['ok']);
  });

  test('keeps open what would have expired', async () => {
    harness.logic.answer = { tokenExpiresAtMs: Date.now() + 500 };
    const client = await harness.version2(TOKEN);
    harness.logic.tokens.set('new', {});
    await client.reply(OperationV2.TokenReply, TokenReply, refresh(client, 'new'));
    await new Promise((resolve) => setTimeout(resolve, 900));
    expect(await client.rest()).toEqual([]);
  });
});
