import { describe, expect, test } from '@jest/globals';

import { Ephemeral, ErrorBody } from '@halley/protocol/client/bodies';
import { OperationV2 } from '@halley/protocol/operation';

import { newKey, newMid, newOp, newRoom } from '../../../harness/unique.js';
import { expectPush, TRANSPORTS } from '../stage.js';
import { EPHEMERAL, expectRefused, idOf, message, SEND, SENT, type Version2Stage } from './stage.js';

/** ver2.md, 32: what is worth nothing later. */
export function ephemeralSuite(stage: Version2Stage): void {
  describe.each(TRANSPORTS)('over %s', (transport) => {
    test('comes to the members of a room, from who sent it whatever it says, and is not answered', async () => {
      const room = newRoom().id;
      const [from, to] = await Promise.all([stage.user(transport, newOp()), stage.user('ws', newOp())]);
      for (const { client } of [from, to]) await client.rooms([room]);
      const typing = { room, operation: 1_001, body: Buffer.from('typing'), ttlMs: 3_000 };
      from.client.send(...EPHEMERAL, { ...typing, fromMid: idOf(to.mid), fromKey: 'forged' });
      expect(await to.client.told(...EPHEMERAL)).toMatchObject({
        room,
        operation: 1_001,
        ttlMs: 3_000,
        fromMid: idOf(from.mid),
        fromKey: from.key,
        toMid: '0',
      });
      await from.client.heartbeat();
      expect(from.client.waiting.filter(({ seq }) => seq !== 0)).toEqual([]);
    });

    test('comes to all devices of a user with version 2, and to none of version 1', async () => {
      const [op, mid] = [newOp(), newMid()];
      const devices = await Promise.all([
        stage.open(transport, { mid, key: newKey(), accepts: [op] }),
        stage.open('tcp', { mid, key: newKey(), accepts: [op] }),
      ]);
      const goim = await stage.openGoim('ws', { mid, key: newKey(), accepts: [op, OperationV2.Ephemeral] });
      const { client, mid: fromMid } = await stage.user(transport, op);
      client.send(...EPHEMERAL, { toMid: idOf(mid), operation: op, body: Buffer.from('typing') });
      for (const device of devices)
        expect(await device.told(...EPHEMERAL)).toMatchObject({ toMid: idOf(mid), fromMid: idOf(fromMid) });
      await client.ask(SEND, message({ toMid: idOf(mid) }, 'said', op), SENT);
      await expectPush(goim, op, 'said');
    });

    test('1,024 bytes are the most; a refusal is told where there is a seq, and nothing else', async () => {
      const room = newRoom().id;
      const { client } = await stage.user(transport, newOp());
      await client.rooms([room]);
      const typing = { room, operation: 1_001, body: Buffer.alloc(1_024) };
      client.send(...EPHEMERAL, typing);
      expect((await client.told(...EPHEMERAL)).body).toHaveLength(1_024);
      const long = { ...typing, body: Buffer.alloc(1_025) };
      const { code } = await client.refused(EPHEMERAL, long);
      expect(['invalid_argument', 'body_too_large']).toContain(code);
      client.send(...EPHEMERAL, long, 0);
      await client.heartbeat();
      expect(client.waiting.filter(({ op }) => op === OperationV2.Error)).toEqual([]);
    });

    test('without a target, and with two, it is refused', async () => {
      const { client } = await stage.user(transport, newOp());
      expectRefused(await client.refused(EPHEMERAL, { operation: 1_001 }), 'invalid_argument');
      const both = { room: newRoom().id, toMid: idOf(5n), operation: 1_001 };
      expectRefused(await client.refused(EPHEMERAL, both), 'invalid_argument');
    });

    test('too many a second are refused for now', async () => {
      const { client, mid } = await stage.user(transport, newOp());
      const typing = { toMid: idOf(mid), operation: 1_001 };
      for (let i = 0; i < 200; i += 1) client.send(...EPHEMERAL, typing);
      const frame = await client.take(({ op }) => op === OperationV2.Error, 'a refusal');
      const refusal = ErrorBody.decode(frame.body);
      expect(refusal).toMatchObject({ code: 'overloaded', temporary: true });
      expect(refusal.retryAfterMs).toBeGreaterThan(0);
      // Told to oneself as to others.
      expect(
        Ephemeral.decode(
          (await client.take(({ op, seq }) => op === OperationV2.Ephemeral && seq === 0, '32')).body,
        ).toMid,
      ).toBe(idOf(mid));
    });
  });
}
