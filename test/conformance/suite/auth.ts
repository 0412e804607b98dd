import { describe, expect, test } from '@jest/globals';

import { CloseCode } from '@halley/protocol/close-code';
import { Operation } from '@halley/protocol/operation';

import { newKey, newMid, newOp, newRoom } from '../../harness/unique.js';
import { isHttp } from '../../harness/transports.js';
import { expectPush, expectReply, TRANSPORTS, type Stage } from './stage.js';

const VALID = [
  '{}',
  'null',
  ' {"mid" : 0 } ',
  '{"mid":-5}',
  '{"mid":null,"key":null,"room_id":null,"platform":null,"accepts":null}',
  '{"room_id":""}',
  '{"room_id":"no scheme"}',
  '{"room_id":"://"}',
  '{"room_id":"live://房间"}',
  '{"accepts":[]}',
  '{"accepts":[-2147483648,2147483647]}',
  '{"mid":9223372036854775807}',
  '{"mid":-9223372036854775808}',
  '{"something":{"else":[1,{"mid":"x"}]}}',
  '{"platform":"web"}',
] as const;

const INVALID = [
  '',
  ' ',
  'abc',
  '{',
  '{"mid":1',
  '{"mid":1} x',
  '{"mid":01}',
  "{'mid':1}",
  '[]',
  '"text"',
  '5',
  'true',
  '{"mid":"1"}',
  '{"mid":1.5}',
  '{"mid":true}',
  '{"mid":9223372036854775808}',
  '{"mid":-9223372036854775809}',
  '{"key":7}',
  '{"room_id":1000}',
  '{"room_id":{}}',
  '{"platform":1}',
  '{"accepts":1000}',
  '{"accepts":["1000"]}',
  '{"accepts":[1.5]}',
  '{"accepts":[2147483648]}',
  '{"accepts":{}}',
] as const;

/** GOIM §1: the token, the handshake and who one is afterwards. */
export function authSuite(stage: Stage): void {
  describe.each(TRANSPORTS)('auth over %s', (transport) => {
    test.each(VALID)('%s is a token', async (token) => {
      const client = await stage.connect(transport);
      expectReply(await client.request(Operation.Auth, token, 3), Operation.AuthReply, 3);
    });

    // Over HTTP a session without a token is refused by a status.
    test.each(INVALID.filter((token) => token !== '' || !isHttp(transport)))(
      '%j is no token: closed without a reply',
      async (token) => {
        const client = await stage.connect(transport);
        client.send({ op: Operation.Auth, seq: 3, body: Buffer.from(token) });
        const { code } = await client.end();
        expect(code).toBe(transport !== 'tcp' ? CloseCode.BadToken : undefined);
        expect(client.wire).toEqual([]);
      },
    );

    test('bytes that are no UTF-8 cost that connection at most', async () => {
      const client = await stage.connect(transport);
      client.send({ op: Operation.Auth, seq: 3, body: Buffer.from('ff00fe7b7d', 'hex') });
      await client.end();
      expect(client.wire).toEqual([]);
    });

    test('a mid is exact to the last digit', async () => {
      const mid = newMid();
      const op = newOp();
      const [even, odd] = await Promise.all([
        stage.open(transport, { mid, accepts: [op] }),
        stage.open(transport, { mid: mid + 1n, accepts: [op] }),
      ]);
      await stage.pushMids(op, [mid + 1n], 'odd');
      await stage.pushMids(op, [mid], 'even');
      await Promise.all([expectPush(odd, op, 'odd'), expectPush(even, op, 'even')]);
      expect([...even.waiting, ...odd.waiting]).toEqual([]);
    });

    test('the largest, the lowest and a negative mid are reached', async () => {
      const mids = [2n ** 63n - 1n, -(2n ** 63n), -newMid()];
      const op = newOp();
      const clients = await Promise.all(
        mids.map((mid) => stage.open(transport, { mid, key: newKey(), accepts: [op] })),
      );
      await stage.pushMids(op, mids, 'all three');
      await Promise.all(clients.map((client) => expectPush(client, op, 'all three')));
    });

    if (!isHttp(transport)) {
      test('another operation before auth is ignored, and auth still works', async () => {
        const client = await stage.connect(transport);
        for (const op of [Operation.Heartbeat, Operation.Business, Operation.ChangeRoom, 14, 9, 8, 1000]) {
          client.send({ op, seq: 1, body: Buffer.from('{}') });
        }
        expectReply(await client.request(Operation.Auth, '{}', 77), Operation.AuthReply, 77);
        expect(client.wire).toHaveLength(1);
      });

      test('what was ignored before auth has had no effect', async () => {
        const room = newRoom();
        const client = await stage.connect(transport);
        client.send({ op: Operation.ChangeRoom, body: Buffer.from(room.id) });
        await client.auth({});
        expect(await client.heartbeat()).toBe(0);
      });
    }

    test('auth again is answered with its own operation and changes nothing', async () => {
      const [mid, other, op] = [newMid(), newMid(), newOp()];
      const client = await stage.open(transport, { mid, accepts: [op] });
      expectReply(await client.request(Operation.Auth, `{"mid":${other}}`, 8), Operation.Auth, 8);
      expectReply(await client.request(Operation.Auth, 'no JSON', 9), Operation.Auth, 9);
      await stage.pushMids(op, [other], 'not mine');
      await stage.pushMids(op, [mid], 'mine');
      await expectPush(client, op, 'mine');
    });

    test('an empty key is a key of its own: two such connections of a user live beside each other', async () => {
      const [mid, op] = [newMid(), newOp()];
      const token = { mid, key: '', accepts: [op] };
      const clients = await Promise.all([stage.open(transport, token), stage.open(transport, token)]);
      await stage.pushMids(op, [mid], 'both');
      await Promise.all(clients.map((client) => expectPush(client, op, 'both')));
    });

    test('an anonymous connection is reached by its key', async () => {
      const [key, op] = [newKey(), newOp()];
      const client = await stage.open(transport, { mid: 0, key, accepts: [op] });
      await stage.pushKeys(op, [key], 'anonymous');
      await expectPush(client, op, 'anonymous');
    });

    test('what the token names holds from the moment of the reply', async () => {
      const [mid, op, room, key] = [newMid(), newOp(), newRoom(), newKey()];
      const client = await stage.open(transport, { mid, key, room_id: room.id, accepts: [op] });
      await stage.pushRoom(op, room, 'room');
      await expectPush(client, op, 'room');
      await stage.pushMids(op, [mid], 'user');
      await expectPush(client, op, 'user');
      await stage.pushKeys(op, [key], 'key');
      await expectPush(client, op, 'key');
      expect(await client.heartbeat()).toBe(1);
    });
  });
}
