import { describe, expect, test } from '@jest/globals';

import { CloseCode } from '@halley/protocol/close-code';
import { OperationV2 } from '@halley/protocol/operation';

import { newOp, newRoom } from '../../../harness/unique.js';
import { describeOnce, TRANSPORTS } from '../stage.js';
import { message, SEND, SENT, type Version2Stage } from './stage.js';

/** What clients send that has a body. */
const REQUESTS = {
  Send: OperationV2.Send,
  Ack: OperationV2.Ack,
  Rooms: OperationV2.Rooms,
  History: OperationV2.History,
  Receipts: OperationV2.Receipts,
  Ephemeral: OperationV2.Ephemeral,
  Presence: OperationV2.Presence,
  Token: OperationV2.Token,
} as const;

/** Bodies that are no message of any of them, as hex. */
const MALFORMED = {
  'a field without a number': '00',
  'a field that is cut off': '0a',
  'a text that is cut off': '0a05616263',
  'a varint of eleven bytes': '98' + '80'.repeat(10) + '01',
  'an unknown wire type': '0f',
  'a field of another wire type': '0d00000000',
} as const;

/** ver2.md: bodies that are not their operation's message, and what is to be stepped over. */
export function malformedSuite(stage: Version2Stage): void {
  describeOnce('each request', () => {
    describe.each(Object.entries(REQUESTS))('%s', (_, op) => {
      test.each(Object.entries(MALFORMED))('%s closes with 3501', async (_name, body) => {
        const { client } = await stage.user(op % 2 === 0 ? 'tcp' : 'ws', newOp());
        client.sendRaw(op, Buffer.from(body, 'hex'));
        expect((await client.end()).last?.code).toBe(CloseCode.BadFrame);
      });
    });
  });

  test.each(TRANSPORTS)(
    'over %s a text that is not UTF-8, and a number beyond 2^53, are malformed',
    async (transport) => {
      const notText = await stage.user(transport, newOp());
      notText.client.sendRaw(OperationV2.Token, Buffer.from('0a02ff00', 'hex'));
      expect((await notText.client.end()).last?.code).toBe(CloseCode.BadFrame);
      const tooLarge = await stage.user(transport, newOp());
      // History, `after`: 2^53.
      tooLarge.client.sendRaw(OperationV2.History, Buffer.from('18' + '80808080808080' + '10', 'hex'));
      expect((await tooLarge.client.end()).last?.code).toBe(CloseCode.BadFrame);
    },
  );

  test.each(TRANSPORTS)('over %s fields that are not known are stepped over', async (transport) => {
    const { client } = await stage.user(transport, newOp());
    const room = newRoom().id;
    await client.rooms([room]);
    // Fields 1000 to 1003: a varint, 8 bytes, a text, 4 bytes.
    const unknown = Buffer.from('c03e01' + 'c93e0102030405060708' + 'd23e03616263' + 'dd3e01020304', 'hex');
    const [op, type] = SEND;
    const body = Buffer.concat([unknown, type.encode(message({ room }, 'known')), unknown]);
    await client.reply(client.sendRaw(op, body), ...SENT);
    expect(await client.texts(`r/${room}`, 1)).toEqual(['known']);
  });

  test('one that breaks the rules costs nobody else anything', async () => {
    const room = newRoom();
    const { client: good } = await stage.user('tcp', newOp());
    await good.rooms([room.id]);
    const bad = await Promise.all(TRANSPORTS.map((transport) => stage.user(transport, newOp())));
    for (const { client } of bad) {
      await client.rooms([room.id]);
      client.sendRaw(OperationV2.Rooms, Buffer.from('ff', 'hex'));
    }
    for (const { client } of bad) await client.end();
    await stage.goim.pushRoom(1_000, room, 'fine');
    expect(await good.texts(`r/${room.id}`, 1)).toEqual(['fine']);
  });
}
