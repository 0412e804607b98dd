import { describe, expect, test } from '@jest/globals';

import type { RoomAnswer } from '@halley/protocol/client/bodies';
import { CloseCode } from '@halley/protocol/close-code';

import type { Transport } from '../../../harness/goim-client.js';
import { newKey, newMid, newOp, newRoom } from '../../../harness/unique.js';
import { TRANSPORTS } from '../stage.js';
import {
  EPHEMERAL,
  expectRefused,
  idOf,
  jwt,
  message,
  RENEWED,
  SEND,
  SENT,
  TOKEN,
  type Version2Stage,
} from './stage.js';

/** ver2.md: tokens that expire, where it needs no expiry. */
export function tokensSuite(stage: Version2Stage): void {
  test.each(TRANSPORTS)(
    "over %s a new token of the same user is taken, a bad one and another's are not",
    async (transport) => {
      const op = newOp();
      const { client, mid, key, stream } = await stage.user(transport, op);
      const renew = (token: string) => ({ token });
      expectRefused(await client.refused(TOKEN, renew('none')), 'bad_token');
      expectRefused(await client.refused(TOKEN, renew('')), 'bad_token');
      expectRefused(await client.refused(TOKEN, renew(stage.token({ mid: newMid() }))), 'bad_token');
      expectRefused(await client.refused(TOKEN, renew(stage.token({ mid, key: newKey() }))), 'bad_token');
      expect(await client.ask(TOKEN, renew(stage.token({ mid, key })), RENEWED)).toMatchObject({
        leftRooms: [],
      });
      await stage.goim.pushMids(op, [mid], 'still here');
      expect(await client.texts(stream, 1)).toEqual(['still here']);
    },
  );
}

/** ver2.md: tokens that expire, and what tokens grant. */
export function grantsSuite(stage: Version2Stage): void {
  const { jwtSecret } = stage.traits;
  const open = (claims: Readonly<Record<string, unknown>>, transport: Transport = 'ws') =>
    stage.connect(transport).then((client) => client.open(jwt(claims, jwtSecret)));
  const soon = (seconds: number): number => Math.ceil(Date.now() / 1_000) + seconds;

  test.each(TRANSPORTS)('over %s version 2 is asked for by a claim', async (transport) => {
    const mid = newMid();
    const client = await stage.connect(transport);
    const reply = await client.authenticate(Buffer.from(jwt({ mid, ver: 2 }, jwtSecret)));
    expect(reply).toMatchObject({ mid: idOf(mid), deflate: false, checksum: false });
  });

  describe('rooms', () => {
    test('those that the token names by pattern are granted, each join is checked, also of its own room', async () => {
      const [home, other] = [newRoom('home'), newRoom('other')];
      const client = await open({ mid: newMid(), room_id: home.id, rooms: ['open://*'] });
      expect(client.auth.room).toBe(home.id);
      const granted = newRoom('open').id;
      const answers = await client.rooms([granted, other.id, home.id]);
      const [, refused] = answers as [RoomAnswer, RoomAnswer];
      expect(answers.map(({ error }) => error?.code ?? 'done')).toEqual(['done', 'room_not_granted', 'done']);
      if (refused.error) expectRefused(refused.error, 'room_not_granted');
    });
  });

  describe('sending', () => {
    test('to be in a room is not to speak there; publish and send_users grant it', async () => {
      const op = newOp();
      const [mid, other] = [newMid(), newMid()];
      const room = newRoom('talk').id;
      const member = { rooms: ['*'], accepts: [op] };
      const silent = await open({ mid, key: newKey(), ...member });
      const speaker = await open({
        mid: other,
        key: newKey(),
        ...member,
        publish: ['talk://*'],
        send_users: true,
      });
      for (const client of [silent, speaker]) await client.rooms([room]);
      for (const target of [{ room }, { toMid: idOf(other) }]) {
        expectRefused(await silent.refused(SEND, message(target, 'no', op)), 'send_not_granted');
        expectRefused(await silent.refused(EPHEMERAL, { ...target, operation: op }), 'send_not_granted');
      }
      await speaker.ask(SEND, message({ room }, 'to the room', op), SENT);
      await speaker.ask(SEND, message({ toMid: idOf(mid) }, 'to the user', op), SENT);
      expectRefused(
        await speaker.refused(SEND, message({ room: newRoom('else').id }, 'no', op)),
        'send_not_granted',
      );
      expect(await silent.texts(`r/${room}`, 1)).toEqual(['to the room']);
      expect(await silent.texts(`u/${mid}`, 1)).toEqual(['to the user']);
    });
  });

  describe('expiry', () => {
    test('closes with 3009, at the time that 8 told', async () => {
      const clients = await Promise.all(
        TRANSPORTS.map((transport) => open({ mid: newMid(), exp: soon(2) }, transport)),
      );
      const since = performance.now();
      for (const client of clients) {
        const leftMs = client.auth.tokenExpiresAtMs - client.auth.nowMs;
        expect(leftMs).toBeGreaterThan(0);
        const { code, last } = await client.end(leftMs + 10_000);
        expect(last).toMatchObject({ code: CloseCode.TokenExpired, reconnect: true });
        expect(code).toBe(client.transport !== 'tcp' ? CloseCode.TokenExpired : undefined);
        expect(performance.now() - since).toBeGreaterThan(leftMs - 500);
      }
    }, 90_000);

    test('a new token before that keeps it open, without the rooms that it does not grant; a bad one does not', async () => {
      const [mid, key] = [newMid(), newKey()];
      const [kept, lost] = [newRoom('kept-room'), newRoom('lost-room')];
      const client = await open({ mid, key, exp: soon(2), rooms: ['*'] });
      const left = await open({ mid, exp: soon(2) });
      await client.rooms([kept.id, lost.id]);
      const token = jwt({ mid, key, exp: soon(3_600), rooms: ['kept-room://*'] }, jwtSecret);
      const renewed = await client.ask(TOKEN, { token }, RENEWED);
      expect(renewed.leftRooms).toEqual([lost.id]);
      expect(renewed.tokenExpiresAtMs).toBeGreaterThan(client.auth.tokenExpiresAtMs);
      const forged = jwt({ mid, exp: soon(100) }, 'another secret of 32 bytes or more');
      expectRefused(await left.refused(TOKEN, { token: forged }), 'bad_token');
      const { code } = await left.refused(TOKEN, { token: jwt({ mid, exp: soon(-3_600) }, jwtSecret) });
      expect(code).toBe('token_expired');
      for (const room of [lost, kept]) await stage.goim.pushRoom(newOp(), room, room.id);
      expect(await client.texts(`r/${kept.id}`, 1)).toEqual([kept.id]);
      expect(client.entriesWaiting(`r/${lost.id}`)).toBe(0);
      const [answer] = (await client.rooms([lost.id])) as [RoomAnswer];
      expect(answer.error?.code).toBe('room_not_granted');
      // Theirs was to expire no sooner than the first one's own.
      expect((await left.end(90_000)).last?.code).toBe(CloseCode.TokenExpired);
      expect(await client.heartbeat()).toBe(0);
    }, 100_000);
  });
}
