import { describe, expect, test } from '@jest/globals';

import { Start } from '@halley/protocol/client/bodies';
import { CloseCode } from '@halley/protocol/close-code';
import { encodeFrame, encodeFrames } from '@halley/protocol/frame';
import { encodeFrameV2, frameV2 } from '@halley/protocol/frame-v2';
import { writeAuth } from '@halley/protocol/client/auth';
import { Operation } from '@halley/protocol/operation';

import { newKey, newMid, newOp, newRoom } from '../../../harness/unique.js';
import { numbered, TRANSPORTS } from '../stage.js';
import { idOf, inboxOf, type Version2Stage } from './stage.js';

const MAX_INT64 = 2n ** 63n - 1n;

/** ver2.md: asking for it. */
export function askingSuite(stage: Version2Stage): void {
  const { jwtSecret } = stage.traits;

  describe.each(TRANSPORTS)('over %s', (transport) => {
    test('around a token', async () => {
      const [mid, key] = [newMid(), newKey()];
      const client = await stage.connect(transport);
      const token = stage.token({ mid, key });
      expect(await client.authenticate(Buffer.from(JSON.stringify({ ver: 2, token })))).toMatchObject({
        mid: idOf(mid),
        key,
      });
    });

    if (jwtSecret === '') {
      test("beside the fields of goim's token, in any order", async () => {
        for (const body of [
          `{"ver":2,"mid":77,"key":"${newKey()}"}`,
          `{"mid":77,"platform":"web", "ver": 2 }`,
        ]) {
          const client = await stage.connect(transport);
          expect((await client.authenticate(Buffer.from(body))).mid).toBe('77');
        }
      });

      test.each([
        '{"mid":77}',
        '{"ver":1}',
        '{"ver":3}',
        '{"ver":"2"}',
        '{"ver":null}',
        '{"ver":1,"deflate":7}',
      ])('%s is version 1: 8 in a bare frame without a body', async (body) => {
        const client = await stage.connect(transport);
        client.sendGoim(Operation.Auth, body, 3);
        expect(await client.next()).toEqual({ ver: 1, op: 8, seq: 3, body: Buffer.alloc(0), index: 0 });
        client.sendRaw(Operation.Heartbeat);
        expect((await client.end()).code).toBe(transport !== 'tcp' ? CloseCode.BadFrame : undefined);
      });
    }

    test.each([
      '"cursor":"x"',
      '"cursor":{"epoch":"e"}',
      '"cursor":{"position":1}',
      '"cursor":{"epoch":"e","position":"1"}',
      '"cursor":{"epoch":"e","position":1.5}',
      '"cursor":{"epoch":"e","position":-2}',
      '"cursor":{"epoch":"e","position":9007199254740992}',
      '"start":"middle"',
      '"start":1',
      '"deflate":"true"',
      '"checksum":1',
    ])('%s is a bad token', async (wish) => {
      const client = await stage.connect(transport);
      client.sendGoim(
        Operation.Auth,
        `{"ver":2,"token":${JSON.stringify(stage.token({ mid: 1 }))},${wish}}`,
        3,
      );
      const { code, last } = await client.end();
      expect(last).toMatchObject({ code: CloseCode.BadToken, reconnect: false });
      expect(code).toBe(transport !== 'tcp' ? CloseCode.BadToken : undefined);
      expect(client.waiting).toHaveLength(1);
    });

    test('a token that is none closes with 3500', async () => {
      const client = await stage.connect(transport);
      client.sendGoim(Operation.Auth, '{"ver":2,"token":"none"}', 3);
      const { code, last } = await client.end();
      expect(last).toMatchObject({ code: CloseCode.BadToken, reconnect: false });
      expect(code).toBe(transport !== 'tcp' ? CloseCode.BadToken : undefined);
      expect(client.waiting).toHaveLength(1);
    });

    test('the answer says who one is, where the inbox goes on, and the limits', async () => {
      const [mid, key, room] = [newMid(), newKey(), newRoom()];
      const { auth } = await stage.open(transport, { mid, key, room_id: room.id });
      expect(auth).toMatchObject({ mid: idOf(mid), key, room: room.id, deflate: false, checksum: false });
      expect(auth.inbox).toMatchObject({ stream: inboxOf(mid) });
      expect(auth.inbox?.epoch).not.toBe('');
      for (const name of [
        'heartbeatMs',
        'maxClientBodyBytes',
        'maxServerBodyBytes',
        'windowEntries',
        'windowBytes',
        'maxRooms',
        'maxWatched',
        'nowMs',
      ] as const)
        expect(auth[name]).toBeGreaterThan(0);
    });

    test('who names no key is told a fresh one', async () => {
      const mid = newMid();
      const clients = await Promise.all([stage.open(transport, { mid }), stage.open(transport, { mid })]);
      const keys = clients.map(({ auth }) => auth.key);
      expect(keys).not.toContain('');
      expect(new Set(keys).size).toBe(2);
    });

    test.each([MAX_INT64, -(2n ** 63n), 9_007_199_254_740_993n])('mid %d is exact', async (mid) => {
      const { auth } = await stage.open(transport, { mid, key: newKey() }, { start: Start.Newest });
      expect(auth.mid).toBe(idOf(mid));
      expect(auth.inbox?.stream).toBe(inboxOf(mid));
    });

    test('who is anonymous has no inbox, and is pushed to without positions', async () => {
      const [key, op] = [newKey(), newOp()];
      const client = await stage.open(transport, { mid: 0, key, accepts: [op] });
      expect(client.auth.inbox).toBeUndefined();
      await stage.goim.pushKeys(op, [key], 'anonymous');
      const [entry] = await client.shown('', 1);
      expect(entry).toMatchObject({ epoch: '', position: 0, operation: op });
    });

    test('the room of the token is joined, and counted by the heartbeat', async () => {
      const [room, op] = [newRoom(), newOp()];
      const client = await stage.open(transport, { mid: newMid(), room_id: room.id });
      expect(await client.heartbeat()).toBe(1);
      await stage.goim.pushRoom(op, room, 'here');
      expect(await client.texts(`r/${room.id}`, 1)).toEqual(['here']);
    });

    test('a push that is made after the answer arrives, twenty times', async () => {
      const op = newOp();
      for (let i = 0; i < 20; i += 1) {
        const { client, mid, stream } = await stage.user(transport, op, { start: Start.Newest });
        await stage.goim.pushMids(op, [mid], `${i}`);
        expect(await client.texts(stream, 1)).toEqual([`${i}`]);
        client.close();
      }
    });

    test("goim's frames behind 7 are handled, a long one closes with 3501", async () => {
      const auth = { ver: 1, op: Operation.Auth, seq: 7, body: writeAuth(stage.token({ mid: newMid() })) };
      const patient = await stage.connect(transport);
      patient.sendBytes(
        encodeFrames([auth, { ver: 1, op: Operation.Heartbeat, seq: 8, body: Buffer.alloc(0) }]),
      );
      expect((await patient.next()).op).toBe(Operation.AuthReply);
      expect((await patient.replyFrame(8)).op).toBe(Operation.HeartbeatReply);
      const hasty = await stage.connect(transport);
      const long = encodeFrameV2(frameV2(Operation.Heartbeat, 8, Buffer.alloc(0)));
      hasty.sendBytes(Buffer.concat([encodeFrame(auth), long]));
      const { code } = await hasty.end();
      expect(code).toBe(transport !== 'tcp' ? CloseCode.BadFrame : undefined);
      expect(hasty.waiting.filter(({ op }) => op === Operation.HeartbeatReply)).toEqual([]);
    });

    test('without a cursor a device begins where start says', async () => {
      const op = newOp();
      const { client: witness, mid, stream } = await stage.user(transport, op);
      const pushed = numbered('kept', 3);
      for (const body of pushed) await stage.goim.pushMids(op, [mid], body);
      const last = (await witness.shown(stream, 3)).at(-1);
      const begin = (start: number) =>
        stage.open(transport, { mid, key: newKey(), accepts: [op] }, { start });
      const oldest = await begin(Start.Oldest);
      expect(await oldest.texts(stream, 3)).toEqual(pushed);
      const newest = await begin(Start.Newest);
      expect(newest.auth.inbox?.position).toBeGreaterThanOrEqual(last?.position ?? Infinity);
      await stage.goim.pushMids(op, [mid], 'new');
      for (const client of [oldest, newest]) expect(await client.texts(stream, 1)).toEqual(['new']);
    });

    test("the first device of a user begins at the oldest, the next at the largest cursor of the user's", async () => {
      const [mid, op] = [newMid(), newOp()];
      const stream = inboxOf(mid);
      for (const body of ['a', 'b', 'c']) await stage.goim.pushMids(op, [mid], body);
      const first = await stage.open(transport, { mid, key: newKey(), accepts: [op] });
      const entries = await first.shown(stream, 3);
      expect(entries.map(({ body }) => String(body))).toEqual(['a', 'b', 'c']);
      const [, second] = entries;
      if (!second) throw new Error('no entry');
      first.ack({ stream, epoch: second.epoch, position: second.position });
      await first.heartbeat();
      first.close();
      // The server saves it when the connection has ended, a moment later.
      await stage.eventually(async () => {
        const next = await stage.open(transport, { mid, key: newKey(), accepts: [op] });
        return next.auth.inbox?.position === second.position && (await next.texts(stream, 1))[0] === 'c';
      });
    });
  });
}
