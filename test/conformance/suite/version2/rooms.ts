import { describe, expect, test } from '@jest/globals';

import type { RoomAnswer } from '@halley/protocol/client/bodies';
import { Operation } from '@halley/protocol/operation';

import { newMid, newOp, newRoom } from '../../../harness/unique.js';
import { numbered, TRANSPORTS } from '../stage.js';
import { expectRefused, type Version2Stage } from './stage.js';

/** Rooms of one request: so many fit in a body. */
const BATCH = 25;

const done = ({ room, error }: RoomAnswer): string => `${room} ${error?.code ?? 'done'}`;
export const streamOf = ({ id }: { readonly id: string }): string => `r/${id}`;

/** ver2.md: rooms. That nothing of a room comes to who is not in it is looked at in every test, by the client. */
export function roomsSuite(stage: Version2Stage): void {
  describe.each(TRANSPORTS)('over %s', (transport) => {
    test('several are joined and left at once, each with an answer, joins first', async () => {
      const op = newOp();
      const { client } = await stage.user(transport, op);
      const [a, b, c] = [newRoom(), newRoom(), newRoom()];
      expect((await client.rooms([a.id, b.id])).map(done)).toEqual([`${a.id} done`, `${b.id} done`]);
      const answers = await client.rooms([c.id], [a.id, newRoom().id]);
      expect(answers.map(done).slice(0, 2)).toEqual([`${c.id} done`, `${a.id} done`]);
      expect(answers).toHaveLength(3);
      for (const room of [a, b, c]) await stage.goim.pushRoom(op, room, room.id);
      expect(await client.texts(streamOf(b), 1)).toEqual([b.id]);
      expect(await client.texts(streamOf(c), 1)).toEqual([c.id]);
    });

    test('what is pushed after the answer arrives, also to rooms, twenty times', async () => {
      const { client } = await stage.user(transport, newOp());
      for (const body of numbered('room', 20)) {
        const room = newRoom();
        const [answer] = await client.rooms([room.id]);
        expect(answer).toMatchObject({ room: room.id, durable: false, epoch: '', position: 0 });
        await stage.goim.pushRoom(newOp(), room, body);
        expect(await client.texts(streamOf(room), 1)).toEqual([body]);
      }
    });

    test('who is in a room gets every operation, and each push once, however often it was joined', async () => {
      const { client } = await stage.user(transport, newOp());
      const room = newRoom();
      expect(await client.rooms([room.id, room.id])).toHaveLength(2);
      await client.rooms([room.id]);
      const sent = numbered('push', 10);
      for (const body of sent) await stage.goim.pushRoom(newOp(), room, body);
      expect(await client.texts(streamOf(room), 10)).toEqual(sent);
      await stage.goim.pushRoom(newOp(), room, 'end');
      expect(await client.texts(streamOf(room), 1)).toEqual(['end']);
      await client.rooms([], [room.id]);
      expect(await client.heartbeat()).toBe(0);
    });

    test('while a room is pushed to, frames come only between the answers of joining and leaving', async () => {
      const { client } = await stage.user(transport, newOp());
      const room = newRoom();
      let pushing = true;
      const pushes = (async () => {
        for (let i = 0; pushing; i += 1) await stage.goim.pushRoom(1_000, room, `${i}`);
      })();
      for (let i = 0; i < 5; i += 1) {
        await client.rooms([room.id]);
        const [first, second] = (await client.texts(streamOf(room), 2)).map(Number);
        expect(second).toBe((first ?? Infinity) + 1);
        await client.rooms([], [room.id]);
        // What came ahead of the answer is not looked at.
        await client.shown(streamOf(room), client.entriesWaiting(streamOf(room)));
      }
      pushing = false;
      await pushes;
    });

    test('a room without a name is refused, the others are joined', async () => {
      const { client } = await stage.user(transport, newOp());
      const room = newRoom();
      const [bad, good] = (await client.rooms(['', room.id])) as [RoomAnswer, RoomAnswer];
      if (!bad.error) throw new Error('no error');
      expectRefused(bad.error, 'invalid_argument');
      expect(done(good)).toBe(`${room.id} done`);
    });

    test('12 is not of version 2', async () => {
      const { client } = await stage.user(transport, newOp());
      expectRefused(
        await client.refusal(client.sendRaw(Operation.ChangeRoom, newRoom().id)),
        'unsupported_operation',
      );
      expect(await client.heartbeat()).toBe(0);
    });

    test("the room of the token is the heartbeat's; left by 24 it is no more", async () => {
      const [op, home, other] = [newOp(), newRoom(), newRoom()];
      const client = await stage.open(transport, { mid: newMid(), room_id: home.id, accepts: [op] });
      await client.rooms([other.id]);
      expect(await client.heartbeat()).toBe(1);
      await client.rooms([], [home.id]);
      expect(await client.heartbeat()).toBe(0);
      await stage.goim.pushRoom(op, home, 'home');
      await stage.goim.pushRoom(op, other, 'other');
      expect(await client.texts(streamOf(other), 1)).toEqual(['other']);
    });
  });

  test('a connection may be in max_rooms, and in another one when it has left one', async () => {
    const { client } = await stage.user('tcp', newOp());
    const { maxRooms } = client.auth;
    const ids = Array.from({ length: maxRooms }, () => newRoom('limit').id);
    for (let i = 0; i < maxRooms; i += BATCH) {
      const answers = await client.rooms(ids.slice(i, i + BATCH));
      expect(answers.filter(({ error }) => error)).toEqual([]);
    }
    const more = newRoom('limit').id;
    const [refused, known] = (await client.rooms([more, ids[0] as string])) as [RoomAnswer, RoomAnswer];
    if (!refused.error) throw new Error('no error');
    expectRefused(refused.error, 'limit_exceeded');
    expect(known.error).toBeUndefined();
    expect((await client.rooms([more], [ids[0] as string])).filter(({ error }) => error)).toEqual([]);
  });

  test('members with version 1 and 2 get the same, and count together', async () => {
    const [room, op] = [newRoom(), newOp()];
    const client = await stage.open('ws', { mid: newMid(), room_id: room.id });
    const goim = await stage.openGoim('tcp', { mid: newMid(), room_id: room.id });
    expect([await client.heartbeat(), await goim.heartbeat()]).toEqual([2, 2]);
    const sent = numbered('push', 10);
    for (const body of sent) await stage.goim.pushRoom(op, room, body);
    expect(await client.texts(streamOf(room), 10)).toEqual(sent);
    expect((await goim.take(10)).map(({ body }) => String(body))).toEqual(sent);
  });
}
