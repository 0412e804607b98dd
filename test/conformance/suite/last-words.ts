import { describe, expect, test } from '@jest/globals';

import { CloseCode } from '@halley/protocol/close-code';
import { encodeFrame, encodeFrames, type Frame } from '@halley/protocol/frame';
import { Operation } from '@halley/protocol/operation';

import type { GoimClient } from '../../harness/goim-client.js';
import { HttpGoimClient } from '../../harness/http-client.js';
import { TcpClient } from '../../harness/tcp-client.js';
import { newKey, newMid, newOp } from '../../harness/unique.js';
import { WsClient } from '../../harness/ws-client.js';
import { expectPush, header, type Stage, TRANSPORTS } from './stage.js';

const COUNT = 20;
const SEQS = Array.from({ length: COUNT }, (_, seq) => seq);
const MESSAGES: readonly Frame[] = SEQS.map((seq) => ({
  ver: 1,
  op: Operation.Business,
  seq,
  body: Buffer.from(`message ${seq}`),
}));

/** What a client said before it ended its side, or before a malformed frame: handled in order, then the connection ends. */
export function lastWordsSuite(stage: Stage): void {
  describe.each(TRANSPORTS)('over %s', (transport) => {
    /** Sends the frames as the transport has them, and then the bytes. */
    const say = (client: GoimClient, frames: readonly Frame[], rest?: Uint8Array): void => {
      if (client instanceof WsClient) for (const frame of frames) client.sendBytes(encodeFrame(frame));
      else client.sendBytes(encodeFrames(frames));
      if (rest) client.sendBytes(rest);
    };
    const endSide = (client: GoimClient): void => {
      if (client instanceof WsClient) client.sendClose(4_000);
      else if (client instanceof TcpClient || client instanceof HttpGoimClient) client.endSide();
    };
    const auth = (token: string): Frame => ({
      ver: 1,
      op: Operation.Auth,
      seq: 99,
      body: Buffer.from(token),
    });
    const replies = async (client: GoimClient): Promise<number[]> =>
      (await client.take(COUNT)).map(({ op, seq }) => {
        expect(op).toBe(Operation.Business);
        return seq;
      });

    test(`auth and ${COUNT} messages are answered, in order, though the client ended its side behind them`, async () => {
      const client = await stage.connect(transport);
      say(client, [auth(`{"mid":${newMid()}}`), ...MESSAGES]);
      endSide(client);
      expect(await client.next()).toMatchObject({ op: Operation.AuthReply, seq: 99 });
      expect(await replies(client)).toEqual(SEQS);
      expect((await client.end()).code).toBe(transport === 'ws' ? 4_000 : undefined);
    });

    test('so they are ahead of a malformed frame, whose code comes behind them', async () => {
      const client = await stage.connect(transport);
      say(client, [auth('{}'), ...MESSAGES], header({ packLen: 15 }));
      expect(await client.next()).toMatchObject({ op: Operation.AuthReply, seq: 99 });
      expect(await replies(client)).toEqual(SEQS);
      const { code, reason } = await client.end();
      expect(code).toBe(transport !== 'tcp' ? CloseCode.BadFrame : undefined);
      if (transport === 'ws') expect(reason).toMatch(/\S/);
      expect(client.waiting).toEqual([]);
    });

    test('one who left in the middle of it all leaves its key to who comes next', async () => {
      const [mid, key, op] = [newMid(), newKey(), newOp()];
      const token = `{"mid":${mid},"key":"${key}","accepts":[${op}]}`;
      const client = await stage.connect(transport);
      say(client, [auth(token), ...MESSAGES]);
      client.close();
      const next = await stage.open(transport, token);
      await stage.pushKeys(op, [key], 'for the next');
      await expectPush(next, op, 'for the next');
    });
  });
}
