import { status } from '@grpc/grpc-js';
import { describe, expect, test } from '@jest/globals';

import { encodeFrame, encodeFrames, encodeRaw, pushFrame } from '@halley/protocol/frame';
import { Operation } from '@halley/protocol/operation';

import { unary } from '../../harness/grpc.js';
import { newKey, newMid, newOp, newRoom } from '../../harness/unique.js';
import { eventually } from '../../harness/within.js';
import { expectPush, type Stage, TRANSPORTS } from './stage.js';

/** GOIM §2: goim.comet.Comet, as goim's job calls it. */
export function cometGrpcSuite(stage: Stage): void {
  const proto = (op: number, body: string) => ({ ver: 1, op, seq: 0, body: Buffer.from(body) });
  /** Ready-made frames, as goim's job sends them. */
  const raw = (op: number, ...bodies: string[]) => ({
    ver: 1,
    op: Operation.Raw,
    seq: 0,
    body: Buffer.from(encodeFrames(bodies.map((body) => pushFrame(op, Buffer.from(body))))),
  });
  const rooms = async (): Promise<string[]> =>
    Object.keys((await unary(stage.comet.Rooms.bind(stage.comet), {})).rooms);

  /** Of one client a transport. */
  const keysOf = (key: string): string[] => TRANSPORTS.map((transport) => `${key}-${transport}`);

  describe('PushMsg', () => {
    const pushMsg = (keys: string[], protoOp: number, message: object | null) =>
      unary(stage.comet.PushMsg.bind(stage.comet), { keys, protoOp, proto: message });

    test('frames a message and sends it to the keys that accept its operation', async () => {
      const [op, refused, key] = [newOp(), newOp(), newKey()];
      const clients = await stage.openBoth((transport) => ({
        mid: newMid(),
        key: `${key}-${transport}`,
        accepts: [op],
      }));
      const keys = [...keysOf(key), newKey()];
      expect(await pushMsg(keys, refused, proto(refused, 'no'))).toEqual({});
      expect(await pushMsg(keys, op, proto(op, 'yes'))).toEqual({});
      for (const client of clients) await expectPush(client, op, 'yes');
    });

    test('the filter is protoOp, not the operation within', async () => {
      const [op, within, key] = [newOp(), newOp(), newKey()];
      const client = await stage.open('tcp', { mid: newMid(), key, accepts: [op] });
      await pushMsg([key], within, proto(op, 'no'));
      await pushMsg([key], op, proto(within, 'yes'));
      await expectPush(client, within, 'yes');
    });

    test('sends ready-made frames as they are', async () => {
      const [op, key] = [newOp(), newKey()];
      const clients = await stage.openBoth((transport) => ({
        mid: newMid(),
        key: `${key}-${transport}`,
        accepts: [op],
      }));
      await pushMsg(keysOf(key), op, raw(op, 'one', 'two'));
      for (const client of clients) {
        await expectPush(client, op, 'one');
        await expectPush(client, op, 'two');
      }
      const frames = ['one', 'two'].map((body) => pushFrame(op, Buffer.from(body)));
      const bare = frames.map((frame) => Buffer.from(encodeFrame(frame)).toString('hex'));
      const wrapped = [Buffer.from(encodeRaw(frames)).toString('hex')];
      for (const { transport, wire } of clients)
        expect(wire.slice(1)).toEqual(transport === 'ws' ? wrapped : bare);
    });

    test('keys that are not here are no error, no keys or no message is one', async () => {
      const op = newOp();
      expect(await pushMsg([newKey()], op, proto(op, 'nobody'))).toEqual({});
      await expect(pushMsg([], op, proto(op, 'x'))).rejects.toMatchObject({ code: status.INVALID_ARGUMENT });
      await expect(pushMsg([newKey()], op, null)).rejects.toMatchObject({ code: status.INVALID_ARGUMENT });
    });
  });

  describe('Broadcast', () => {
    const broadcast = (protoOp: number, message: object | null, speed = 0) =>
      unary(stage.comet.Broadcast.bind(stage.comet), { protoOp, proto: message, speed });

    test('reaches all that accept the operation', async () => {
      const [op, refused] = [newOp(), newOp()];
      const clients = await stage.openBoth(() => ({ mid: newMid(), accepts: [op] }));
      expect(await broadcast(refused, proto(refused, 'no'))).toEqual({});
      expect(await broadcast(op, proto(op, 'framed'))).toEqual({});
      expect(await broadcast(op, raw(op, 'raw'))).toEqual({});
      expect(await broadcast(op, raw(op, 'slow'), 1000)).toEqual({});
      for (const client of clients) {
        await expectPush(client, op, 'framed');
        await expectPush(client, op, 'raw');
        await expectPush(client, op, 'slow');
      }
    });

    test('no message is an error', async () => {
      await expect(broadcast(newOp(), null)).rejects.toMatchObject({ code: status.INVALID_ARGUMENT });
    });
  });

  describe('BroadcastRoom and Rooms', () => {
    const broadcastRoom = (roomID: string, message: object | null) =>
      unary(stage.comet.BroadcastRoom.bind(stage.comet), { roomID, proto: message });

    test('a room is reached, whatever its members accept', async () => {
      const [op, room] = [newOp(), newRoom()];
      const clients = await stage.openBoth(() => ({ mid: newMid(), room_id: room.id }));
      expect(await broadcastRoom(room.id, proto(op, 'framed'))).toEqual({});
      expect(await broadcastRoom(room.id, raw(op, 'one', 'two'))).toEqual({});
      for (const client of clients) {
        await expectPush(client, op, 'framed');
        await expectPush(client, op, 'one');
        await expectPush(client, op, 'two');
      }
    });

    test('a room without a scheme is reached too', async () => {
      const [op, room] = [newOp(), newKey()];
      const client = await stage.open('tcp', { room_id: room });
      await broadcastRoom(room, raw(op, 'here'));
      await expectPush(client, op, 'here');
    });

    test('a room that is not here is no error, no room or no message is one', async () => {
      const op = newOp();
      expect(await broadcastRoom(newRoom().id, proto(op, 'nobody'))).toEqual({});
      await expect(broadcastRoom('', proto(op, 'x'))).rejects.toMatchObject({
        code: status.INVALID_ARGUMENT,
      });
      await expect(broadcastRoom(newRoom().id, null)).rejects.toMatchObject({
        code: status.INVALID_ARGUMENT,
      });
    });

    test('the rooms are those with members', async () => {
      const [first, second] = [newRoom(), newRoom()];
      const client = await stage.open('tcp', { room_id: first.id });
      expect(await rooms()).toContain(first.id);
      await client.request(Operation.ChangeRoom, second.id);
      expect(await rooms()).toContain(second.id);
      expect(await rooms()).not.toContain(first.id);
      client.close();
      const left = await eventually(rooms, (ids) => !ids.includes(second.id), 5_000, 50);
      expect(left).not.toContain(second.id);
    });
  });
}
