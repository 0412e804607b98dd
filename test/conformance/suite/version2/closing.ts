import { describe, expect, test } from '@jest/globals';

import { SendReply } from '@halley/protocol/client/bodies';
import { CloseCode } from '@halley/protocol/close-code';
import { Operation, OperationV2 } from '@halley/protocol/operation';

import { newKey, newMid, newOp, newRoom } from '../../../harness/unique.js';
import { TRANSPORTS } from '../stage.js';
import { expectRefused, idOf, inboxOf, message, SEND, textOf, type Version2Stage } from './stage.js';

/** Of 18 to 63: those that are no request of a client's. */
const NOT_ASKED = [19, 20, 22, 23, 25, 27, 28, 29, 30, 34, 35, 36, 38, 39, 40, 62, 63] as const;

/** ver2.md: operations, moving and closing. */
export function closingSuite(stage: Version2Stage): void {
  describe.each(TRANSPORTS)('over %s', (transport) => {
    test('operations that are unknown, or only the server has, are refused one by one', async () => {
      const { client } = await stage.user(transport, newOp());
      const seqs = NOT_ASKED.map((op) => client.sendRaw(op, 'anything'));
      for (const seq of seqs) expectRefused(await client.refusal(seq), 'unsupported_operation');
    });

    test.each([4, 5, 0, 1, 17_000, 64, 2 ** 31 - 1, -1])(
      'operation %d is for the business, as in version 1',
      async (op) => {
        const { client } = await stage.user(transport, newOp());
        const seq = client.sendRaw(op, 'for the business');
        expect(await client.replyFrame(seq)).toMatchObject({ op, flags: 0, body: Buffer.alloc(0) });
      },
    );

    test('7 again changes nothing and is answered as in version 1', async () => {
      const op = newOp();
      const { client, mid, stream } = await stage.user(transport, op);
      const seq = client.sendRaw(Operation.Auth, `{"ver":2,"mid":${newMid()}}`);
      expect(await client.replyFrame(seq)).toMatchObject({ op: Operation.Auth, body: Buffer.alloc(0) });
      await stage.goim.pushMids(op, [mid], 'mine');
      expect(await client.texts(stream, 1)).toEqual(['mine']);
    });

    test('14 and 16 change what is accepted, with bodies of text', async () => {
      const [op, added] = [newOp(), newOp()];
      const { client, mid, stream } = await stage.user(transport, op);
      const subscribed = client.sendRaw(Operation.Subscribe, `${added}`);
      expect(textOf(await client.replyFrame(subscribed))).toBe(`${added}`);
      await stage.goim.pushMids(added, [mid], 'added');
      expect(await client.texts(stream, 1)).toEqual(['added']);
      const gone = client.sendRaw(Operation.Unsubscribe, `${added}`);
      expect(await client.replyFrame(gone)).toMatchObject({ op: Operation.UnsubscribeReply });
      await stage.goim.pushMids(added, [mid], 'taken out');
      await stage.goim.pushMids(op, [mid], 'last');
      expect(await client.texts(stream, 1)).toEqual(['last']);
    });

    test('30 is the last frame, and says what the WebSocket close frame does', async () => {
      const { client } = await stage.user(transport, newOp());
      client.sendRaw(OperationV2.Send, Buffer.from('ffff', 'hex'));
      const { code, reason, last } = await client.end();
      expect(last).toMatchObject({ code: CloseCode.BadFrame, reconnect: false });
      expect(last?.text).not.toBe('');
      if (transport === 'ws')
        expect({ code, reason }).toEqual({ code: last?.code, reason: last?.text.slice(0, reason.length) });
    });

    test('what a client sent ahead of its end is handled, and answered while it reads', async () => {
      const [op, mid] = [newOp(), newMid()];
      const to = await stage.open('tcp', { mid, key: newKey(), accepts: [op] });
      const { client } = await stage.user(transport, op);
      const seqs = ['a', 'b', 'c'].map((body) =>
        client.send(...SEND, message({ toMid: idOf(mid) }, body, op)),
      );
      client.endSide();
      expect(await to.texts(inboxOf(mid), 3)).toEqual(['a', 'b', 'c']);
      await client.end();
      if (transport === 'ws') return;
      const answers = client.waiting.filter((frame) => frame.op === OperationV2.SendReply);
      expect(answers.map(({ seq }) => seq)).toEqual(seqs);
      for (const { body } of answers) expect(SendReply.decode(body).id).not.toBe('');
    });

    test('what was not acknowledged comes again', async () => {
      const op = newOp();
      const { client, mid, key, stream } = await stage.user(transport, op);
      await stage.goim.pushMids(op, [mid], 'again');
      await client.texts(stream, 1);
      client.close();
      const back = await stage.open(transport, { mid, key, accepts: [op] });
      expect(await back.texts(stream, 1)).toEqual(['again']);
    });

    test('who leaves is no member any more', async () => {
      const room = newRoom().id;
      const stays = await stage.open('tcp', { mid: newMid(), room_id: room });
      const goes = await stage.open(transport, { mid: newMid(), room_id: room });
      expect(await stays.heartbeat()).toBe(2);
      goes.endSide();
      expect((await goes.end()).last).toBeUndefined();
      await stage.eventually(async () => (await stays.heartbeat()) === 1);
    });
  });
}
