import { setTimeout as sleep } from 'node:timers/promises';

import { describe, expect, test } from '@jest/globals';

import { CloseCode } from '@halley/protocol/close-code';
import { encodeFrame, encodeRaw, pushFrame } from '@halley/protocol/frame';

import { newKey, newMid, newOp, newRoom } from '../../harness/unique.js';
import { eventually } from '../../harness/within.js';
import { describeOnce, expectOk, expectPush, numbered, texts, TRANSPORTS, type Stage } from './stage.js';

/** GOIM §1 and §3: who gets a push, and what bytes. */
export function pushesSuite(stage: Stage): void {
  const everyByte = Buffer.from(Array.from({ length: 256 }, (_, byte) => byte));

  test('hello with operation 1000 is these bytes, to a user, a key, a room and everyone', async () => {
    const [mid, key, room] = [newMid(), newKey(), newRoom()];
    const everyone = newOp();
    const clients = await stage.openBoth((transport) => ({
      mid,
      key: `${key}-${transport}`,
      room_id: room.id,
      accepts: [1000, everyone],
    }));
    await stage.pushMids(1000, [mid], 'hello');
    for (const client of clients) await expectPush(client, 1000, 'hello');
    await stage.pushKeys(
      1000,
      TRANSPORTS.map((transport) => `${key}-${transport}`),
      'hello',
    );
    for (const client of clients) await expectPush(client, 1000, 'hello');
    await stage.pushRoom(1000, room, 'hello');
    for (const client of clients) await expectPush(client, 1000, 'hello');
    await stage.pushAll(everyone, 'hello');
    for (const client of clients) await expectPush(client, everyone, 'hello');
    const bare = '00000015' + '0010' + '0001' + '000003e8' + '00000000' + '68656c6c6f';
    const wrapped = '00000025' + '0010' + '0001' + '00000009' + '00000000' + bare;
    const toAll = pushFrame(everyone, Buffer.from('hello'));
    const bareToAll = Buffer.from(encodeFrame(toAll)).toString('hex');
    const wrappedToAll = Buffer.from(encodeRaw([toAll])).toString('hex');
    for (const { transport, wire } of clients)
      expect(wire.slice(1)).toEqual(
        transport === 'ws' ? [wrapped, wrapped, wrapped, wrappedToAll] : [bare, bare, bare, bareToAll],
      );
  });

  describe.each(TRANSPORTS)('pushes over %s', (transport) => {
    test('a user, a key and everyone are filtered by accepted operations, a room is not', async () => {
      const [mid, key, room, accepted, refused] = [newMid(), newKey(), newRoom(), newOp(), newOp()];
      const client = await stage.open(transport, { mid, key, room_id: room.id, accepts: [accepted] });
      await stage.pushMids(refused, [mid], 'no');
      await stage.pushMids(accepted, [mid], 'user');
      await expectPush(client, accepted, 'user');
      await stage.pushKeys(refused, [key], 'no');
      await stage.pushKeys(accepted, [key], 'key');
      await expectPush(client, accepted, 'key');
      await stage.pushAll(refused, 'no');
      await stage.pushAll(accepted, 'everyone');
      await expectPush(client, accepted, 'everyone');
      await stage.pushRoom(refused, room, 'room');
      await expectPush(client, refused, 'room');
    });

    test('an operation of 0, and a missing one, reaches who accepts 0', async () => {
      const [mid, key] = [newMid(), newKey()];
      const client = await stage.open(transport, { mid, key, accepts: [0] });
      expectOk(await stage.http.post('/goim/push/mids', { mids: mid }, 'a'));
      await expectPush(client, 0, 'a');
      expectOk(await stage.http.post('/goim/push/keys', { keys: key }, 'b'));
      await expectPush(client, 0, 'b');
      await stage.pushMids(0, [mid], 'c');
      await expectPush(client, 0, 'c');
    });

    test('a negative operation is one like any other', async () => {
      const [mid, room] = [newMid(), newRoom()];
      const client = await stage.open(transport, { mid, room_id: room.id, accepts: [-7] });
      await stage.pushMids(-7, [mid], 'user');
      await expectPush(client, -7, 'user');
      await stage.pushRoom(-8, room, 'room');
      await expectPush(client, -8, 'room');
    });

    test('both keys of a user get what is pushed to the user, one key only its own', async () => {
      const [mid, op, a, b] = [newMid(), newOp(), newKey(), newKey()];
      const [first, second] = await Promise.all([
        stage.open(transport, { mid, key: a, accepts: [op] }),
        stage.open(transport, { mid, key: b, accepts: [op] }),
      ]);
      await stage.pushKeys(op, [a], 'a');
      await stage.pushKeys(op, [b], 'b');
      await stage.pushMids(op, [mid], 'both');
      expect(await texts(first, 2)).toEqual(['a', 'both']);
      expect(await texts(second, 2)).toEqual(['b', 'both']);
    });

    test('a push to several users and keys reaches each, those that are offline aside', async () => {
      const op = newOp();
      const people = Array.from({ length: 5 }, () => ({ mid: newMid(), key: newKey() }));
      const clients = await Promise.all(
        people.map((one) => stage.open(transport, { ...one, accepts: [op] })),
      );
      await stage.pushMids(op, [...people.map(({ mid }) => mid), newMid(), newMid()], 'users');
      for (const client of clients) await expectPush(client, op, 'users');
      await stage.pushKeys(op, [newKey(), ...people.map(({ key }) => key), newKey()], 'keys');
      for (const client of clients) await expectPush(client, op, 'keys');
    });

    test('a target named twice is pushed to, and is still there afterwards', async () => {
      const [mid, op, key] = [newMid(), newOp(), newKey()];
      const client = await stage.open(transport, { mid, key, accepts: [op] });
      await stage.pushMids(op, [mid, mid], 'user');
      await expectPush(client, op, 'user');
      await stage.pushKeys(op, [key], 'last');
      const rest = await texts(client, 1);
      expect(rest[0] === 'user' ? await texts(client, 1) : rest).toEqual(['last']);
    });

    test('a key with a comma, a space or a letter of any language is one key', async () => {
      const op = newOp();
      const suffix = newKey();
      const keys = [`a,b ${suffix}`, `键&=?#${suffix}`, `{${suffix}}`];
      const clients = await Promise.all(
        keys.map((key) => stage.open(transport, { mid: newMid(), key, accepts: [op] })),
      );
      await stage.pushKeys(op, keys, 'here');
      for (const client of clients) await expectPush(client, op, 'here');
    });

    test('a body is what was posted: empty, every byte, a form', async () => {
      const [mid, op] = [newMid(), newOp()];
      const client = await stage.open(transport, { mid, accepts: [op] });
      await stage.pushMids(op, [mid], '');
      await expectPush(client, op, '');
      await stage.pushMids(op, [mid], everyByte);
      await expectPush(client, op, everyByte);
      const form = `operation=5&mids=${newMid()}`;
      const headers = { 'content-type': 'application/x-www-form-urlencoded' };
      expectOk(await stage.http.post('/goim/push/mids', { operation: op, mids: mid }, form, headers));
      await expectPush(client, op, form);
    });

    test.each([4097, 65_536, 1_000_000])('a body of %d bytes arrives', async (length) => {
      const [mid, op, room] = [newMid(), newOp(), newRoom()];
      const client = await stage.open(transport, { mid, room_id: room.id, accepts: [op] });
      const body = Buffer.alloc(length, everyByte);
      await stage.pushMids(op, [mid], body);
      expect((await client.next()).body.equals(body)).toBe(true);
      await stage.pushRoom(op, room, body);
      expect((await client.next()).body.equals(body)).toBe(true);
    });

    test('everyone means everyone, with and without a speed', async () => {
      const op = newOp();
      const clients = await Promise.all([
        ...Array.from({ length: 4 }, () => stage.open(transport, { mid: newMid(), accepts: [op] })),
        stage.open(transport, { accepts: [op] }),
      ]);
      await stage.pushAll(op, 'fast');
      for (const client of clients) await expectPush(client, op, 'fast');
      expectOk(await stage.http.post('/goim/push/all', { operation: op, speed: 100 }, 'slow'));
      for (const client of clients) await expectPush(client, op, 'slow');
    });

    test('whoever is offline gets nothing, and the answer is the same', async () => {
      const [mid, op, key] = [newMid(), newOp(), newKey()];
      await stage.pushMids(op, [mid], 'offline');
      await stage.pushKeys(op, [key], 'offline');
      await stage.pushRoom(op, newRoom(), 'offline');
      // Who is online is looked up when a push is delivered, and these may still be on their way.
      await sleep(500);
      const client = await stage.open(transport, { mid, key, accepts: [op] });
      await stage.pushMids(op, [mid], 'online');
      await expectPush(client, op, 'online');
    });
  });

  describeOnce('order', () => {
    test('500 pushes in a row to one user arrive all, once and in order', async () => {
      const [mid, op] = [newMid(), newOp()];
      const clients = await stage.openBoth(() => ({ mid, accepts: [op] }));
      const sent = numbered('push', 500);
      for (const body of sent) await stage.pushMids(op, [mid], body);
      for (const client of clients) expect(await texts(client, 500, 10_000)).toEqual(sent);
      await stage.pushMids(op, [mid], 'end');
      for (const client of clients) await expectPush(client, op, 'end');
    }, 60_000);

    test('1,500 over three rooms and three users from one pusher arrive all, once and in order', async () => {
      const op = newOp();
      const targets = Array.from({ length: 3 }, () => ({ mid: newMid(), room: newRoom() }));
      const inRooms = await Promise.all(
        targets.flatMap(({ room }) => TRANSPORTS.map((t) => stage.open(t, { room_id: room.id }))),
      );
      const users = await Promise.all(
        targets.flatMap(({ mid }) => TRANSPORTS.map((t) => stage.open(t, { mid, accepts: [op] }))),
      );
      const sent = numbered('push', 250);
      for (const body of sent) {
        for (const { mid, room } of targets) {
          await stage.pushRoom(op, room, body);
          await stage.pushMids(op, [mid], body);
        }
      }
      for (const client of [...inRooms, ...users]) expect(await texts(client, 250, 10_000)).toEqual(sent);
      for (const { mid, room } of targets) {
        await stage.pushRoom(op, room, 'end');
        await stage.pushMids(op, [mid], 'end');
      }
      for (const client of [...inRooms, ...users]) await expectPush(client, op, 'end');
    }, 90_000);

    test('a user who is pushed to by mid and by key in turn sees them in order', async () => {
      const [mid, key, op] = [newMid(), newKey(), newOp()];
      const client = await stage.open('tcp', { mid, key, accepts: [op] });
      const sent = numbered('push', 60);
      for (const [index, body] of sent.entries()) {
        await (index % 2 === 0 ? stage.pushMids(op, [mid], body) : stage.pushKeys(op, [key], body));
      }
      expect(await texts(client, 60)).toEqual(sent);
    });
  });

  describe('a client that does not read', () => {
    test.each(TRANSPORTS)(
      'for a while misses nothing silently over %s',
      async (transport) => {
        const [mid, op] = [newMid(), newOp()];
        const client = await stage.open(transport, { mid, accepts: [op] });
        client.pause();
        const sent = numbered('push', 400).map((text) => text.padEnd(4_000));
        for (const body of sent) await stage.pushMids(op, [mid], body);
        client.resume();
        await eventually(() => client.waiting.length === sent.length || client.isClosed, Boolean, 20_000, 50);
        // All of it, or a beginning without a hole and then the end of the connection, which says why.
        const received = client.waiting.map(({ body }) => body.toString());
        expect(received).toEqual(sent.slice(0, received.length));
        if (received.length < sent.length)
          expect((await client.end(100)).code).toBe(transport !== 'tcp' ? CloseCode.Slow : undefined);
      },
      60_000,
    );
  });
}
