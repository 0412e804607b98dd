import { describe, expect, test } from '@jest/globals';

import type { Upstream__Output } from '@halley/cluster/grpc/gen/halley/push/v1/Upstream';
import type { SendRequest } from '@halley/protocol/client/bodies';
import type { Write } from '@halley/protocol/client/message';
import { OperationV2 } from '@halley/protocol/operation';

import { upstreamClient } from '../../../harness/grpc.js';
import { newKey, newMid, newOp, newRoom } from '../../../harness/unique.js';
import { eventually } from '../../../harness/within.js';
import { expectPush, numbered, TRANSPORTS } from '../stage.js';
import { expectRefused, idOf, message, SEND, SENT, textOf, type Version2Stage } from './stage.js';

const REFUSED: readonly (readonly [string, Write<typeof SendRequest>])[] = [
  ['without a client id', { clientId: '' }],
  ['with a client id of 65 characters', { clientId: 'x'.repeat(65) }],
  ['to a room and a user', { toMid: idOf(5n) }],
  ['with the operation of an answer to the auth', { operation: 8 }],
  ['with an operation of the protocol', { operation: 20 }],
  ['with operation 63', { operation: 63 }],
  ['that has expired', { expireAtMs: 1_000 }],
];

/** ver2.md: sending. */
export function sendingSuite(stage: Version2Stage): void {
  describe.each(TRANSPORTS)('over %s', (transport) => {
    test("to a user: in the receiver's inbox and in the sender's, on all devices, under one id", async () => {
      const op = newOp();
      const [from, to] = await Promise.all([stage.user(transport, op), stage.user('tcp', op)]);
      const beside = await stage.open('ws', { mid: from.mid, key: newKey(), accepts: [op] });
      const said = message({ toMid: idOf(to.mid) }, 'hello', op);
      const sent = await from.client.ask(SEND, said, SENT);
      expect(sent).toMatchObject({ stream: from.stream, duplicate: false });
      expect(sent.acceptedAtMs).toBeGreaterThan(0);
      const expected = {
        id: sent.id,
        operation: op,
        fromMid: idOf(from.mid),
        fromKey: from.key,
        clientId: said.clientId,
        toMid: idOf(to.mid),
      };
      const [received] = await to.client.shown(to.stream, 1);
      for (const client of [from.client, beside]) {
        const [own] = await client.shown(from.stream, 1);
        expect(own).toMatchObject({ ...expected, epoch: sent.epoch });
      }
      expect(received).toMatchObject(expected);
      expect(textOf(received ?? { body: Buffer.alloc(0) })).toBe('hello');
    });

    test('to oneself: once', async () => {
      const op = newOp();
      const { client, mid, stream } = await stage.user(transport, op);
      for (const body of ['note', 'end'])
        await client.ask(SEND, message({ toMid: idOf(mid) }, body, op), SENT);
      expect(await client.texts(stream, 2)).toEqual(['note', 'end']);
    });

    test('to a room: to every member, the sender too', async () => {
      const room = newRoom().id;
      const [from, to] = await Promise.all([stage.user(transport, newOp()), stage.user('ws', newOp())]);
      for (const { client } of [from, to]) await client.rooms([room]);
      const said = message({ room }, 'hello');
      const sent = await from.client.ask(SEND, said, SENT);
      for (const { client } of [from, to]) {
        expect((await client.shown(`r/${room}`, 1))[0]).toMatchObject({
          id: sent.id,
          operation: said.operation,
          fromMid: idOf(from.mid),
          fromKey: from.key,
          clientId: said.clientId,
          toMid: '0',
        });
      }
    });

    test('a device of version 1 gets it as a frame of its operation', async () => {
      const [op, mid, room] = [newOp(), newMid(), newRoom().id];
      const goim = await stage.openGoim('tcp', { mid, key: newKey(), room_id: room, accepts: [op] });
      const { client } = await stage.user(transport, op);
      await client.ask(SEND, message({ toMid: idOf(mid) }, 'to the user', op), SENT);
      await expectPush(goim, op, 'to the user');
      await client.ask(SEND, message({ room }, 'to the room', op), SENT);
      await expectPush(goim, op, 'to the room');
    });

    test('a client id again is the same message, sent once', async () => {
      const op = newOp();
      const [from, to] = await Promise.all([stage.user(transport, op), stage.user('tcp', op)]);
      const said = message({ toMid: idOf(to.mid) }, 'once', op);
      // Before the first was taken in: dropped all the same, whatever the answer says of it.
      const seqs = [0, 1, 2].map(() => from.client.send(...SEND, said));
      const sent = [];
      for (const seq of seqs) sent.push(await from.client.reply(seq, ...SENT));
      expect(new Set(sent.map(({ id }) => id)).size).toBe(1);
      const [own] = await from.client.shown(from.stream, 1);
      await to.client.shown(to.stream, 1);
      // And from another device, long after.
      const other = await stage.open('ws', { mid: from.mid, key: newKey(), accepts: [op] });
      expect(await other.ask(SEND, said, SENT)).toMatchObject({
        id: sent[0]?.id,
        duplicate: true,
        position: own?.position,
      });
      await from.client.ask(SEND, message({ toMid: idOf(to.mid) }, 'end', op), SENT);
      expect(await from.client.texts(from.stream, 1)).toEqual(['end']);
      expect(await to.client.texts(to.stream, 1)).toEqual(['end']);
    });

    test("another user's client id is another message", async () => {
      const op = newOp();
      const [a, b, to] = await Promise.all([0, 1, 2].map(() => stage.user(transport, op)));
      if (!a || !b || !to) throw new Error('no users');
      const said = message({ toMid: idOf(to.mid) }, 'same id', op);
      const ids = [(await a.client.ask(SEND, said, SENT)).id, (await b.client.ask(SEND, said, SENT)).id];
      expect(new Set(ids).size).toBe(2);
      expect((await to.client.shown(to.stream, 2)).map(({ id }) => id).toSorted()).toEqual(ids.toSorted());
    });

    test('in a room that is not durable it comes again, under the same id', async () => {
      const room = newRoom().id;
      const { client } = await stage.user(transport, newOp());
      await client.rooms([room]);
      const said = message({ room }, 'twice');
      const sent = [await client.ask(SEND, said, SENT), await client.ask(SEND, said, SENT)];
      const shown = await client.shown(`r/${room}`, 2);
      expect(new Set([...sent, ...shown].map(({ id }) => id)).size).toBe(1);
    });

    test('many to one target are answered and arrive in their order', async () => {
      const op = newOp();
      const [from, to] = await Promise.all([stage.user(transport, op), stage.user('ws', op)]);
      const bodies = numbered('message', 30);
      const seqs = bodies.map((body) =>
        from.client.send(...SEND, message({ toMid: idOf(to.mid) }, body, op)),
      );
      expect(await to.client.texts(to.stream, 30)).toEqual(bodies);
      expect(await from.client.texts(from.stream, 30)).toEqual(bodies);
      const answers = [];
      for (const _ of seqs)
        answers.push(await from.client.take(({ op: of }) => of === OperationV2.SendReply, '19'));
      expect(answers.map(({ seq }) => seq)).toEqual(seqs);
    });

    test.each(REFUSED)('a message %s is refused for good, and the connection lives on', async (_, wrong) => {
      const op = newOp();
      const { client } = await stage.user(transport, op);
      const room = newRoom().id;
      await client.rooms([room]);
      expectRefused(await client.refused(SEND, { ...message({ room }, 'no'), ...wrong }), 'invalid_argument');
      await client.ask(SEND, message({ room }, 'yes', 4), SENT);
      expect(await client.texts(`r/${room}`, 1)).toEqual(['yes']);
    });

    test('without a target it is for the business, once it is answered', async () => {
      const { client, mid, key } = await stage.user(transport, newOp());
      const logic = upstreamClient(stage.goim.target.logicGrpc);
      const upstream = logic.Receive();
      const received: Upstream__Output[] = [];
      upstream.on('error', () => undefined);
      upstream.on('data', (one: Upstream__Output) => {
        // A new group begins with all that is kept: what is not acknowledged would stop it.
        upstream.write({ ack_ids: [one.id] });
        if (one.mid === String(mid)) received.push(one);
      });
      upstream.write({ group: newKey() });
      const bodies = numbered('to the business', 5);
      for (const body of bodies) {
        const sent = await client.ask(
          SEND,
          { clientId: newKey(), operation: 1_000, body: Buffer.from(body) },
          SENT,
        );
        expect(sent).toMatchObject({ stream: '', duplicate: false });
      }
      const got = await eventually(
        () => [...received],
        ({ length }) => length >= bodies.length,
      );
      upstream.cancel();
      logic.close();
      expect(got.map(({ proto }) => String(proto?.body))).toEqual(bodies);
      expect(got[0]).toMatchObject({ key, proto: { op: 1_000 } });
    });
  });
}
