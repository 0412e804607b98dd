import { describe, expect, test } from '@jest/globals';

import { CloseCode } from '@halley/protocol/close-code';
import { encodeFrame, encodeFrames, type Frame } from '@halley/protocol/frame';
import { Operation } from '@halley/protocol/operation';

import { newMid } from '../../harness/unique.js';
import { isHttp } from '../../harness/transports.js';
import { bytes, describeOnce, expectReply, header, hex, TRANSPORTS, type Stage } from './stage.js';

/** Headers that close the connection, and the close code. */
const BAD_HEADERS = [
  ['length 15', header({ packLen: 15 }), CloseCode.BadFrame],
  ['length 0', header({ packLen: 0 }), CloseCode.BadFrame],
  ['length -1', header({ packLen: -1 }), CloseCode.BadFrame],
  ['the lowest length', header({ packLen: -(2 ** 31) }), CloseCode.BadFrame],
  ['header length 15', header({ packLen: 16, headerLen: 15 }), CloseCode.BadFrame],
  ['header length 17', header({ packLen: 16, headerLen: 17 }), CloseCode.BadFrame],
  ['header length 0', header({ packLen: 16, headerLen: 0 }), CloseCode.BadFrame],
  ['header length -16', header({ packLen: 16, headerLen: -16 }), CloseCode.BadFrame],
  ['length 4,113', header({ packLen: 4113 }), CloseCode.FrameTooLarge],
  ['the largest length', header({ packLen: 2 ** 31 - 1 }), CloseCode.FrameTooLarge],
] as const;

/** GOIM §1: the frame, on both transports and in every cut of a TCP stream. */
export function framesSuite(stage: Stage): void {
  describe.each(TRANSPORTS)('frames over %s', (transport) => {
    test('auth and heartbeat are answered with exactly these bytes', async () => {
      const client = await stage.connect(transport);
      client.sendBytes(bytes('00000012 0010 0001 00000007 0000002a 7b7d'));
      await client.next();
      client.sendBytes(bytes('00000010 0010 0001 00000002 0000002b'));
      await client.next();
      expect(client.wire).toEqual([
        hex('00000010 0010 0001 00000008 0000002a'),
        hex('00000014 0010 0001 00000003 0000002b 00000000'),
      ]);
    });

    test.each([
      [0, 0],
      [2, -2],
      [7, 2 ** 31 - 1],
      [-1, -(2 ** 31)],
      [32767, 1],
    ])("version %d and seq %d of a request are its reply's", async (ver, seq) => {
      const client = await stage.open(transport, {});
      client.send({ ver, op: Operation.Heartbeat, seq });
      expect(await client.next()).toMatchObject({ ver, op: Operation.HeartbeatReply, seq });
    });

    test('a body of 4,096 bytes is taken', async () => {
      const client = await stage.open(transport, {});
      const body = Buffer.alloc(4096, 'x');
      expectReply(await client.request(Operation.Subscribe, body, 9), Operation.SubscribeReply, 9, body);
    });

    test('a body of 4,097 bytes closes the connection without a reply', async () => {
      const client = await stage.open(transport, {});
      const answered = client.wire.length;
      client.send({ op: Operation.Subscribe, seq: 9, body: Buffer.alloc(4097, 'x') });
      const { code } = await client.end();
      expect(code).toBe(transport !== 'tcp' ? CloseCode.FrameTooLarge : undefined);
      expect(client.wire).toHaveLength(answered);
    });

    test.each(BAD_HEADERS)('%s closes an open connection without a reply', async (_name, bad, closeCode) => {
      const client = await stage.open(transport, {});
      const answered = client.wire.length;
      client.sendBytes(bad);
      const { code } = await client.end();
      expect(code).toBe(transport !== 'tcp' ? closeCode : undefined);
      expect(client.wire).toHaveLength(answered);
    });

    // Over HTTP there is nothing before it.
    if (!isHttp(transport)) {
      test.each(BAD_HEADERS)('%s closes a connection before its auth', async (_name, bad, closeCode) => {
        const client = await stage.connect(transport);
        client.sendBytes(bad);
        const { code } = await client.end();
        expect(code).toBe(transport !== 'tcp' ? closeCode : undefined);
        expect(client.wire).toEqual([]);
      });
    }

    test('a bad frame of one client is noticed by no other', async () => {
      const [good, bad] = await Promise.all([stage.open(transport, {}), stage.open(transport, {})]);
      bad.sendBytes(header({ packLen: 15 }));
      await bad.end();
      expect(await good.heartbeat()).toBe(0);
    });
  });

  describeOnce('the TCP stream', () => {
    const heartbeats = (count: number): Frame[] =>
      Array.from({ length: count }, (_, seq) => ({
        ver: 1,
        op: Operation.Heartbeat,
        seq,
        body: Buffer.alloc(0),
      }));

    test('frames that come byte by byte are answered', async () => {
      const client = await stage.tcp();
      const token = Buffer.from(`{"mid":${newMid()}}`);
      const auth = { ver: 1, op: Operation.Auth, seq: 1, body: token };
      await client.sendByteByByte(encodeFrames([auth, ...heartbeats(2)]));
      const replies = await client.take(3);
      expect(replies.map(({ op, seq }) => [op, seq])).toEqual([
        [Operation.AuthReply, 1],
        [Operation.HeartbeatReply, 0],
        [Operation.HeartbeatReply, 1],
      ]);
    });

    test.each([1, 3, 4, 5, 7, 15, 16, 17, 20, 31])('a frame cut at byte %d is answered', async (cut) => {
      const client = await stage.open('tcp', {});
      const stream = encodeFrames([
        { ver: 1, op: Operation.Subscribe, seq: 1, body: Buffer.from('1,2') },
        ...heartbeats(1),
      ]);
      client.sendBytes(stream.subarray(0, cut));
      await new Promise((resolve) => setTimeout(resolve, 20));
      client.sendBytes(stream.subarray(cut));
      const replies = await client.take(2);
      expect(replies.map(({ op }) => op)).toEqual([Operation.SubscribeReply, Operation.HeartbeatReply]);
    });

    test('auth and what follows it may come in one write', async () => {
      const client = await stage.tcp();
      const auth = { ver: 1, op: Operation.Auth, seq: 1, body: Buffer.from('{}') };
      client.sendBytes(encodeFrames([auth, ...heartbeats(3)]));
      const replies = await client.take(4);
      expect(replies.map(({ op }) => op)).toEqual([8, 3, 3, 3]);
    });

    test.each([2, 8, 300])('%d frames in one write are all answered, in order', async (count) => {
      const client = await stage.open('tcp', {});
      client.sendBytes(encodeFrames(heartbeats(count)));
      const replies = await client.take(count);
      expect(replies.map(({ seq }) => seq)).toEqual(Array.from({ length: count }, (_, seq) => seq));
      expect(await client.heartbeat()).toBe(0);
    });

    test('frames of every kind in one write are answered in order', async () => {
      const client = await stage.open('tcp', {});
      const operations = [4, 2, 14, 2, 12, 1000, 2, 16, 7, 2];
      client.sendBytes(
        encodeFrames(operations.map((op, seq) => ({ ver: 1, op, seq, body: Buffer.alloc(0) }))),
      );
      const replies = await client.take(operations.length);
      expect(replies.map(({ op, seq }) => [op, seq])).toEqual(
        [4, 3, 15, 3, 13, 1000, 3, 17, 7, 3].map((op, seq) => [op, seq]),
      );
    });

    test('good frames ahead of a bad one are answered, then the connection is closed', async () => {
      const client = await stage.open('tcp', {});
      client.sendBytes(Buffer.concat([encodeFrames(heartbeats(2)), header({ packLen: 15 })]));
      expect((await client.take(2)).map(({ seq }) => seq)).toEqual([0, 1]);
      await client.end();
      expect(client.waiting).toEqual([]);
    });

    test('nothing behind a bad frame is read', async () => {
      const client = await stage.open('tcp', {});
      client.sendBytes(Buffer.concat([header({ packLen: 15 }), encodeFrames(heartbeats(2))]));
      await client.end();
      expect(client.waiting).toEqual([]);
    });

    test('a TLS or HTTP greeting closes the connection', async () => {
      const [tls, http] = await Promise.all([stage.tcp(), stage.tcp()]);
      tls.sendBytes(bytes('16030100c8010000c4030300000000000000'));
      http.sendBytes(Buffer.from('GET /sub HTTP/1.1\r\nHost: localhost\r\n\r\n'));
      await Promise.all([tls.end(), http.end()]);
      expect([...tls.wire, ...http.wire]).toEqual([]);
    });

    test('a client that leaves in the middle of a frame is forgotten', async () => {
      const [leaver, other] = await Promise.all([stage.open('tcp', {}), stage.open('tcp', {})]);
      leaver.sendBytes(encodeFrame({ ver: 1, op: 4, seq: 1, body: Buffer.alloc(100) }).subarray(0, 50));
      leaver.close();
      expect(await other.heartbeat()).toBe(0);
    });
  });
}
