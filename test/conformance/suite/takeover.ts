import { setTimeout as sleep } from 'node:timers/promises';

import { describe, expect, test } from '@jest/globals';

import { CloseCode } from '@halley/protocol/close-code';
import { Operation } from '@halley/protocol/operation';

import type { Transport } from '../../harness/goim-client.js';
import { newKey, newMid, newOp, newRoom } from '../../harness/unique.js';
import { expectPush, TRANSPORTS, type Stage } from './stage.js';

const PAIRS = TRANSPORTS.flatMap((from) => TRANSPORTS.map((to): [Transport, Transport] => [from, to]));

/** GOIM §1 and §5: the same key again. */
export function takeoverSuite(stage: Stage): void {
  test.each(PAIRS)(
    'the same key again, %s then %s: the new one takes over, the old one is closed',
    async (from, to) => {
      const [mid, key, op, room] = [newMid(), newKey(), newOp(), newRoom()];
      const token = { mid, key, room_id: room.id, accepts: [op] };
      const old = await stage.open(from, token);
      const now = await stage.open(to, token);
      const { code, reason } = await old.end();
      expect(code).toBe(from !== 'tcp' ? CloseCode.TakenOver : undefined);
      expect(reason).toBe(from !== 'tcp' ? 'The key connected again.' : '');
      expect(await now.heartbeat()).toBe(1);
      await stage.pushKeys(op, [key], 'key');
      await expectPush(now, op, 'key');
      await stage.pushMids(op, [mid], 'user');
      await expectPush(now, op, 'user');
      await stage.pushRoom(op, room, 'room');
      await expectPush(now, op, 'room');
      expect(old.waiting).toEqual([]);
    },
  );

  test.each(TRANSPORTS)('over %s the route outlives the end of the old connection', async (transport) => {
    const [mid, key, op] = [newMid(), newKey(), newOp()];
    const token = { mid, key, accepts: [op] };
    const old = await stage.open(transport, token);
    const now = await stage.open(transport, token);
    await old.end();
    // Time for whatever is cleaned up behind the old connection.
    await sleep(500);
    await stage.pushKeys(op, [key], 'key');
    await expectPush(now, op, 'key');
    await stage.pushMids(op, [mid], 'user');
    await expectPush(now, op, 'user');
  });

  test('a key that reconnects ten times, closing first or not, is always reached', async () => {
    const [mid, key, op] = [newMid(), newKey(), newOp()];
    const token = { mid, key, accepts: [op] };
    let client = await stage.open('tcp', token);
    for (let i = 0; i < 10; i += 1) {
      if (i % 2 === 0) client.close();
      client = await stage.open(i % 3 === 0 ? 'ws' : 'tcp', token);
      await stage.pushKeys(op, [key], `${i}`);
      // A device without acknowledgements may be sent again what it was sent last: in order, and then the new.
      const bodies: number[] = [];
      while (bodies.at(-1) !== i) bodies.push(Number((await client.next()).body.toString()));
      expect(bodies).toEqual(Array.from({ length: bodies.length }, (_, n) => i + 1 - bodies.length + n));
    }
  });

  test('of many that connect with one key at once, exactly one is left, and it is reached', async () => {
    const [mid, key, op] = [newMid(), newKey(), newOp()];
    const token = `{"mid":${mid},"key":"${key}","accepts":[${op}]}`;
    const clients = await Promise.all(
      Array.from({ length: 8 }, (_, i) => stage.connect(i % 2 ? 'ws' : 'tcp')),
    );
    for (const client of clients) client.send({ op: Operation.Auth, seq: 1, body: Buffer.from(token) });
    const ends = clients.map(async (client, index) => {
      await client.closed;
      return index;
    });
    const closed: number[] = [];
    for (const end of ends) void end.then((index) => closed.push(index));
    await sleep(1_500);
    expect(closed).toHaveLength(7);
    const left = clients.find((_, index) => !closed.includes(index));
    await left?.next();
    await stage.pushKeys(op, [key], 'left');
    await expectPush(left as NonNullable<typeof left>, op, 'left');
  });

  describe("another user's key", () => {
    test.each(TRANSPORTS)('over %s does not take over a live connection', async (transport) => {
      const [mid, key, op] = [newMid(), newKey(), newOp()];
      const owner = await stage.open(transport, { mid, key, accepts: [op] });
      const other = await stage.connect(transport);
      other.send({ op: Operation.Auth, seq: 1, body: Buffer.from(`{"mid":${newMid()},"key":"${key}"}`) });
      expect((await other.end()).code).toBe(transport !== 'tcp' ? CloseCode.KeyInUse : undefined);
      expect(other.wire).toEqual([]);
      await stage.pushKeys(op, [key], 'owner');
      await expectPush(owner, op, 'owner');
    });
  });
}
