import { describe, expect, test } from '@jest/globals';

import { encodeFrames } from '@halley/protocol/frame';
import { Operation } from '@halley/protocol/operation';

import { newMid, newOp, newRoom } from '../../harness/unique.js';
import { eventually } from '../../harness/within.js';
import { expectPush, expectReply, TRANSPORTS, type Stage } from './stage.js';

/** GOIM §1: what an open connection asks for: heartbeat, rooms, operations, business messages. */
export function requestsSuite(stage: Stage): void {
  describe('the heartbeat counts the connections in the room', () => {
    test('over both transports, as they come and go', async () => {
      const room = newRoom();
      const [tcp, ws, third] = await Promise.all([
        stage.open('tcp', { room_id: room.id }),
        stage.open('ws', { room_id: room.id }),
        stage.open('tcp', {}),
      ]);
      expect([await tcp.heartbeat(), await ws.heartbeat(), await third.heartbeat()]).toEqual([2, 2, 0]);
      await third.request(Operation.ChangeRoom, room.id);
      expect([await tcp.heartbeat(), await ws.heartbeat(), await third.heartbeat()]).toEqual([3, 3, 3]);
      await ws.request(Operation.ChangeRoom, '');
      expect([await tcp.heartbeat(), await ws.heartbeat(), await third.heartbeat()]).toEqual([2, 0, 2]);
      third.close();
      expect(
        await eventually(
          () => tcp.heartbeat(),
          (count) => count === 1,
        ),
      ).toBe(1);
    });

    test("a heartbeat's body is ignored", async () => {
      const client = await stage.open('tcp', {});
      expectReply(
        await client.request(Operation.Heartbeat, 'body', 4),
        Operation.HeartbeatReply,
        4,
        '\0\0\0\0',
      );
    });
  });

  describe.each(TRANSPORTS)('rooms over %s', (transport) => {
    test('changing the room echoes it and moves the pushes', async () => {
      const [first, second, op] = [newRoom(), newRoom(), newOp()];
      const [client, stayed] = await Promise.all([
        stage.open(transport, { room_id: first.id }),
        stage.open(transport, { room_id: first.id }),
      ]);
      expectReply(
        await client.request(Operation.ChangeRoom, second.id, 5),
        Operation.ChangeRoomReply,
        5,
        second.id,
      );
      await stage.pushRoom(op, first, 'first');
      await expectPush(stayed, op, 'first');
      await stage.pushRoom(op, second, 'second');
      await expectPush(client, op, 'second');
      expect([...client.waiting, ...stayed.waiting]).toEqual([]);
    });

    test('an empty room leaves', async () => {
      const [room, mid, op] = [newRoom(), newMid(), newOp()];
      const [client, stayed] = await Promise.all([
        stage.open(transport, { mid, room_id: room.id, accepts: [op] }),
        stage.open(transport, { room_id: room.id }),
      ]);
      expectReply(await client.request(Operation.ChangeRoom, '', 6), Operation.ChangeRoomReply, 6, '');
      await stage.pushRoom(op, room, 'room');
      await expectPush(stayed, op, 'room');
      await stage.pushMids(op, [mid], 'user');
      await expectPush(client, op, 'user');
      expect(await client.heartbeat()).toBe(0);
    });

    test('leaving without a room, and twice, is answered', async () => {
      const client = await stage.open(transport, {});
      expectReply(await client.request(Operation.ChangeRoom, '', 1), Operation.ChangeRoomReply, 1, '');
      expectReply(await client.request(Operation.ChangeRoom, '', 2), Operation.ChangeRoomReply, 2, '');
      expect(await client.heartbeat()).toBe(0);
    });

    test("joining one's own room again, three times, keeps its pushes, each once", async () => {
      const [room, op] = [newRoom(), newOp()];
      const client = await stage.open(transport, { room_id: room.id });
      for (const seq of [1, 2, 3]) {
        expectReply(
          await client.request(Operation.ChangeRoom, room.id, seq),
          Operation.ChangeRoomReply,
          seq,
          room.id,
        );
      }
      expect(await client.heartbeat()).toBe(1);
      await stage.pushRoom(op, room, 'one');
      await stage.pushRoom(op, room, 'two');
      await expectPush(client, op, 'one');
      await expectPush(client, op, 'two');
    });

    test('leaving a room and coming back brings its pushes back', async () => {
      const [room, op] = [newRoom(), newOp()];
      const client = await stage.open(transport, { room_id: room.id });
      await client.request(Operation.ChangeRoom, '');
      await client.request(Operation.ChangeRoom, room.id);
      await stage.pushRoom(op, room, 'back');
      await expectPush(client, op, 'back');
      expect(await client.heartbeat()).toBe(1);
    });

    test('a push made after the answer of a join arrives, fifty times', async () => {
      const op = newOp();
      const client = await stage.open(transport, {});
      for (let i = 0; i < 50; i += 1) {
        const room = newRoom();
        await client.request(Operation.ChangeRoom, room.id);
        await stage.pushRoom(op, room, `${i}`);
        await expectPush(client, op, `${i}`);
      }
    });

    test.each(['no scheme', '://', 'a://b://c', 'live://房间', 'x'.repeat(4096)])(
      'any text is a room: %.20s',
      async (room) => {
        const client = await stage.open(transport, {});
        expectReply(await client.request(Operation.ChangeRoom, room, 1), Operation.ChangeRoomReply, 1, room);
        expect(await client.heartbeat()).toBeGreaterThanOrEqual(1);
      },
    );
  });

  describe.each(TRANSPORTS)('subscribed operations over %s', (transport) => {
    test('subscribing adds, unsubscribing takes away, both echo', async () => {
      const [mid, first, second] = [newMid(), newOp(), newOp()];
      const client = await stage.open(transport, { mid });
      const list = `${first},${second}`;
      expectReply(await client.request(Operation.Subscribe, list, 1), Operation.SubscribeReply, 1, list);
      await stage.pushMids(first, [mid], 'first');
      await stage.pushMids(second, [mid], 'second');
      await expectPush(client, first, 'first');
      await expectPush(client, second, 'second');

      expectReply(
        await client.request(Operation.Unsubscribe, `${first}`, 2),
        Operation.UnsubscribeReply,
        2,
        `${first}`,
      );
      await stage.pushMids(first, [mid], 'first again');
      await stage.pushMids(second, [mid], 'second again');
      await expectPush(client, second, 'second again');
    });

    test('operations of the token can be unsubscribed', async () => {
      const [mid, first, second] = [newMid(), newOp(), newOp()];
      const client = await stage.open(transport, { mid, accepts: [first, second] });
      await client.request(Operation.Unsubscribe, `${first}`);
      await stage.pushMids(first, [mid], 'first');
      await stage.pushMids(second, [mid], 'second');
      await expectPush(client, second, 'second');
    });

    test.each(['', ',', 'x', '%d,x', '%d,', ',%d', '%d.5', '%d,2147483648', '0x10,%d'])(
      'the bad list %j is echoed and changes nothing',
      async (pattern) => {
        const [mid, op, accepted] = [newMid(), newOp(), newOp()];
        const list = pattern.replace('%d', `${op}`);
        const client = await stage.open(transport, { mid, accepts: [accepted] });
        expectReply(await client.request(Operation.Subscribe, list, 1), Operation.SubscribeReply, 1, list);
        const bad = pattern.replace('%d', `${accepted}`);
        expectReply(await client.request(Operation.Unsubscribe, bad, 2), Operation.UnsubscribeReply, 2, bad);
        await stage.pushMids(op, [mid], 'not subscribed');
        await stage.pushMids(accepted, [mid], 'still accepted');
        await expectPush(client, accepted, 'still accepted');
      },
    );
  });

  describe.each(TRANSPORTS)('business messages over %s', (transport) => {
    test.each([4, 5, 0, 18, 19, 1000, 2 ** 31 - 1, -1])(
      'operation %d is answered with itself, its seq and no body',
      async (op) => {
        const client = await stage.open(transport, { mid: newMid() });
        expectReply(await client.request(op, 'for the business', 12), op, 12);
        expectReply(await client.request(op, '', 13), op, 13);
        expectReply(await client.request(op, Buffer.alloc(4096, 'x'), 14), op, 14);
      },
    );

    test('a hundred in a row are answered in order', async () => {
      const client = await stage.open(transport, { mid: newMid() });
      const frames = Array.from({ length: 100 }, (_, seq) => ({
        ver: 1,
        op: 4,
        seq,
        body: Buffer.from('x'),
      }));
      if (transport === 'tcp') client.sendBytes(encodeFrames(frames));
      else for (const frame of frames) client.send(frame);
      const replies = await client.take(100, 10_000);
      expect(replies.map(({ seq }) => seq)).toEqual(frames.map(({ seq }) => seq));
    });
  });
}
