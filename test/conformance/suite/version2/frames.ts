import { deflateRawSync } from 'node:zlib';

import { describe, expect, test } from '@jest/globals';

import { SendRequest } from '@halley/protocol/client/bodies';
import { CloseCode } from '@halley/protocol/close-code';
import { encodeFrames } from '@halley/protocol/frame';
import {
  encodeFramesV2,
  encodeFrameV2,
  FrameFlag,
  frameV2,
  HEADER_V2_BYTES,
} from '@halley/protocol/frame-v2';
import { Operation, OperationV2 } from '@halley/protocol/operation';

import { newOp, newRoom } from '../../../harness/unique.js';
import type { Arrived, Version2Client } from '../../../harness/version2/client.js';
import { header, TRANSPORTS } from '../stage.js';
import { message, SENT, textOf, type Version2Stage } from './stage.js';

/** Long enough to be compressed. */
const LONG = 'compress me, please. '.repeat(60);

/** The next entry of a stream, whose frame holds nothing else: its text, and the frame's flags. */
async function pushed(client: Version2Client, stream: string): Promise<[string, number | undefined]> {
  for (;;) {
    const { entries, flags } = await client.delivered(stream);
    const [entry] = entries;
    if (entry) return [textOf(entry), flags];
  }
}

/** ver2.md: the frame. */
export function framesSuite(stage: Version2Stage): void {
  describe.each(TRANSPORTS)('over %s', (transport) => {
    test('8 has the long header, with the seq of 7, no flags, and 0 where it is reserved', async () => {
      const { client } = await stage.user(transport, newOp());
      const wire = Buffer.concat(client.raw);
      expect(wire.subarray(4, 8).toString('hex')).toBe('00140002');
      expect(wire.subarray(8, HEADER_V2_BYTES).toString('hex')).toBe('00000008' + '00000007' + '00000000');
      expect(wire.readInt32BE(0)).toBeGreaterThan(HEADER_V2_BYTES);
    });

    test("goim's frames are taken too, and answered in the long form", async () => {
      const { client } = await stage.user(transport, newOp());
      client.sendGoim(Operation.Heartbeat, '', 5);
      expect(await client.replyFrame(5)).toMatchObject({ ver: 2, op: Operation.HeartbeatReply, flags: 0 });
      client.sendGoim(Operation.Business, 'for the business', 6);
      expect(await client.replyFrame(6)).toMatchObject({ ver: 2, op: Operation.Business, flags: 0 });
    });

    test('what is reserved is not looked at', async () => {
      const { client } = await stage.user(transport, newOp());
      const frame = Buffer.from(encodeFrameV2(frameV2(Operation.Heartbeat, 5, Buffer.alloc(0))));
      frame.writeUInt16BE(0xffff, 18);
      client.sendBytes(frame);
      expect((await client.replyFrame(5)).op).toBe(Operation.HeartbeatReply);
    });

    test('frames that are glued are answered in their order', async () => {
      const { client } = await stage.user(transport, newOp());
      const seqs = Array.from({ length: 40 }, (_, index) => index + 1);
      client.sendBytes(encodeFramesV2(seqs.map((seq) => frameV2(Operation.Heartbeat, seq, Buffer.alloc(0)))));
      const replies: number[] = [];
      const isReply = ({ seq }: Arrived): boolean => seq !== 0;
      for (const _ of seqs) replies.push((await client.take(isReply, 'a reply')).seq);
      expect(replies).toEqual(seqs);
    });

    test.each([4, 5, 0x8000])('flags %d are malformed', async (flags) => {
      const { client } = await stage.user(transport, newOp());
      const frame = Buffer.from(encodeFrameV2(frameV2(Operation.Heartbeat, 5, Buffer.alloc(8))));
      frame.writeUInt16BE(flags, 16);
      client.sendBytes(frame);
      expect((await client.end()).last?.code).toBe(CloseCode.BadFrame);
    });

    test.each([
      ['a packLen below the header', { packLen: 19, headerLen: 20 }],
      ['a negative packLen', { packLen: -1, headerLen: 20 }],
      ['another headerLen', { packLen: 24, headerLen: 24 }],
      ['a packLen without room for the trailer', { packLen: 23, headerLen: 20, flags: 1 }],
    ])(
      '%s is malformed',
      async (_, { flags = 0, ...fields }: { packLen: number; headerLen: number; flags?: number }) => {
        const { client } = await stage.user(transport, newOp());
        client.sendBytes(Buffer.concat([header(fields), Buffer.from([0, flags, 0, 0, 0, 0, 0, 0])]));
        expect((await client.end()).last?.code).toBe(CloseCode.BadFrame);
      },
    );

    test('a body may have max_client_body_bytes, and not one more', async () => {
      const { client } = await stage.user(transport, newOp());
      const { maxClientBodyBytes } = client.auth;
      const seq = client.sendRaw(Operation.Business, Buffer.alloc(maxClientBodyBytes, 'x'));
      expect(await client.replyFrame(seq)).toMatchObject({ op: Operation.Business });
      client.sendRaw(Operation.Business, Buffer.alloc(maxClientBodyBytes + 1, 'x'));
      expect((await client.end()).last?.code).toBe(CloseCode.FrameTooLarge);
    });

    test('what came ahead of a malformed frame is answered', async () => {
      const { client } = await stage.user(transport, newOp());
      client.sendBytes(
        Buffer.concat([
          encodeFrameV2(frameV2(Operation.Heartbeat, 5, Buffer.alloc(0))),
          encodeFrames([{ ver: 1, op: Operation.Business, seq: 6, body: Buffer.from('x') }]),
          header({ packLen: 3 }),
        ]),
      );
      expect((await client.replyFrame(5)).op).toBe(Operation.HeartbeatReply);
      expect((await client.replyFrame(6)).op).toBe(Operation.Business);
      expect((await client.end()).last?.code).toBe(CloseCode.BadFrame);
    });

    describe('checksums', () => {
      test('one that holds is taken, whether or not it was agreed on', async () => {
        const { client } = await stage.user(transport, newOp());
        expect(client.auth.checksum).toBe(false);
        const seq = client.sendRaw(Operation.Business, 'checked', { flags: FrameFlag.Checksum });
        expect(await client.replyFrame(seq)).toMatchObject({ op: Operation.Business, flags: 0 });
      });

      test.each(['the body', 'the header', 'the checksum itself'])(
        'a changed bit in %s closes with 3010',
        async (where) => {
          const { client } = await stage.user(transport, newOp());
          const frame = Buffer.from(
            encodeFrameV2(frameV2(Operation.Business, 5, Buffer.from('checked'), FrameFlag.Checksum)),
          );
          const at = { 'the body': HEADER_V2_BYTES, 'the header': 15 }[where] ?? frame.length - 1;
          frame[at] = (frame[at] as number) ^ 1;
          client.sendBytes(frame);
          expect((await client.end()).last?.code).toBe(CloseCode.CorruptFrame);
        },
      );

      test('who wishes for them gets them on every frame', async () => {
        const op = newOp();
        const { client, mid, stream } = await stage.user(transport, op, { checksum: true });
        expect(client.auth.checksum).toBe(true);
        const seq = client.sendRaw(Operation.Business, 'checked', { flags: FrameFlag.Checksum });
        expect((await client.replyFrame(seq)).flags).toBe(FrameFlag.Checksum);
        await stage.goim.pushMids(op, [mid], 'pushed');
        expect(await pushed(client, stream)).toEqual(['pushed', FrameFlag.Checksum]);
      });
    });

    describe('compression', () => {
      test('who inflates is sent long bodies compressed, and short ones as they are', async () => {
        const op = newOp();
        const { client, mid, stream } = await stage.user(transport, op, { deflate: true });
        expect(client.auth.deflate).toBe(true);
        await stage.goim.pushMids(op, [mid], LONG);
        expect(await pushed(client, stream)).toEqual([LONG, FrameFlag.Deflated]);
        await stage.goim.pushMids(op, [mid], 'short');
        expect(await pushed(client, stream)).toEqual(['short', 0]);
      });

      test('who does not is never', async () => {
        const op = newOp();
        const { client, mid, stream } = await stage.user(transport, op);
        await stage.goim.pushMids(op, [mid], LONG);
        expect(await pushed(client, stream)).toEqual([LONG, 0]);
      });

      test('with a checksum too, which is of what is sent', async () => {
        const op = newOp();
        const { client, mid, stream } = await stage.user(transport, op, { deflate: true, checksum: true });
        await stage.goim.pushMids(op, [mid], LONG);
        expect(await pushed(client, stream)).toEqual([LONG, FrameFlag.Deflated | FrameFlag.Checksum]);
      });

      test('a client may compress what it sends', async () => {
        const { client } = await stage.user(transport, newOp(), { deflate: true });
        const room = newRoom().id;
        await client.rooms([room]);
        const body = deflateRawSync(SendRequest.encode(message({ room }, LONG)));
        const seq = client.sendRaw(OperationV2.Send, body, { flags: FrameFlag.Deflated });
        await client.reply(seq, ...SENT);
        expect((await client.shown(`r/${room}`, 1)).map(textOf)).toEqual([LONG]);
      });

      test.each([
        ['no deflate stream', () => Buffer.alloc(600, 0xff), CloseCode.BadFrame],
        [
          'bytes behind the stream',
          () => Buffer.concat([deflateRawSync(Buffer.alloc(600)), Buffer.from([0])]),
          CloseCode.BadFrame,
        ],
        [
          'a stream that is cut off',
          () => deflateRawSync(Buffer.from(LONG)).subarray(0, -4),
          CloseCode.BadFrame,
        ],
        [
          'more than the limit',
          (limit: number) => deflateRawSync(Buffer.alloc(limit + 1)),
          CloseCode.FrameTooLarge,
        ],
      ] as const)('%s closes', async (_, bodyOf, code) => {
        const { client } = await stage.user(transport, newOp(), { deflate: true });
        const body = bodyOf(client.auth.maxClientBodyBytes);
        client.sendRaw(Operation.Business, body, { flags: FrameFlag.Deflated });
        expect((await client.end()).last?.code).toBe(code);
      });
    });
  });

  test('over TCP a frame may come byte by byte', async () => {
    const { client } = await stage.user('tcp', newOp());
    const frame = encodeFrameV2(frameV2(Operation.Business, 5, Buffer.from('in pieces'), FrameFlag.Checksum));
    for (const byte of frame) {
      client.sendBytes(Uint8Array.of(byte));
      await new Promise(setImmediate);
    }
    expect((await client.replyFrame(5)).op).toBe(Operation.Business);
  });
}
