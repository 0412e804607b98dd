import { once } from 'node:events';
import type { Socket } from 'node:net';

import { describe, expect, test } from '@jest/globals';

import { CloseCode } from '@halley/protocol/close-code';
import { encodeFrame, encodeFrames } from '@halley/protocol/frame';
import { Operation } from '@halley/protocol/operation';

import { newOp, newRoom } from '../../harness/unique.js';
import { within } from '../../harness/within.js';
import { rawUpgrade, upgradeStatus, type WsClient } from '../../harness/ws-client.js';
import { expectPush, expectReply, header, hex, type Stage } from './stage.js';

const EMPTY = Buffer.alloc(0);
const heartbeat = (seq: number): Uint8Array =>
  encodeFrame({ ver: 1, op: Operation.Heartbeat, seq, body: EMPTY });

/** A WebSocket text message of at most 125 bytes; a mask of zeros leaves them as they are. */
const asText = (message: Uint8Array): Buffer =>
  Buffer.concat([Buffer.from([0x81, 0x80 | message.length, 0, 0, 0, 0]), message]);

/** What came over a bare socket. */
class RawAnswers {
  #received: Buffer = EMPTY;

  constructor(private readonly socket: Socket) {
    socket.on('data', (chunk: Buffer) => {
      this.#received = Buffer.concat([this.#received, chunk]);
    });
  }

  /** The first bytes, as hex, once so many have come. */
  async take(bytes: number): Promise<string> {
    while (this.#received.length < bytes) {
      await within(once(this.socket, 'data'), 5_000, () => `only ${this.#received.length} bytes came`);
    }
    return this.#received.subarray(0, bytes).toString('hex');
  }
}

/** GOIM §1 WebSocket, and the faults of §5 that only WebSocket can have. */
export function websocketSuite(stage: Stage): void {
  async function open(token: unknown = {}): Promise<WsClient> {
    const client = await stage.ws();
    await client.auth(token);
    return client;
  }

  describe('the upgrade', () => {
    test('/sub is taken', async () => {
      expect(await upgradeStatus(stage.target.ws)).toBe(101);
    });

    test.each(['/', '/sub/', '/Sub', '/subs', '/sub/x', '/sub?x=1', '/x/sub', '//sub'])(
      '%s is refused',
      async (path) => {
        const status = await upgradeStatus(stage.target.ws.replace('/sub', path));
        expect(status).not.toBe(101);
      },
    );

    test('a client without an Origin, and with any, is taken where tokens are believed', async () => {
      expect(await upgradeStatus(stage.target.ws, { origin: 'https://somewhere.example' })).toBe(101);
    });
  });

  describe('messages of a client', () => {
    test('a text message is read as a binary one', async () => {
      const client = await open();
      client.sendText(encodeFrame({ ver: 1, op: Operation.Subscribe, seq: 5, body: Buffer.from('1,2') }));
      expectReply(await client.next(), Operation.SubscribeReply, 5, '1,2');
    });

    test('a text message is read so whatever its bytes are', async () => {
      const socket = await rawUpgrade(stage.target.ws);
      const answers = new RawAnswers(socket);
      const auth = { ver: 1, op: Operation.Auth, seq: 1, body: Buffer.from('{}') };
      const request = { ver: 1, op: Operation.Subscribe, seq: -2, body: Buffer.from('80ff00c3', 'hex') };
      socket.write(Buffer.concat([asText(encodeFrame(auth)), asText(encodeFrame(request))]));
      // Two messages, binary and unmasked: the answer to the auth, and the echo.
      const echo = encodeFrame({ ...request, op: Operation.SubscribeReply });
      expect(await answers.take(18 + 2 + echo.length)).toBe(
        hex('8210 00000010 0010 0001 00000008 00000001') +
          `82${echo.length.toString(16)}${Buffer.from(echo).toString('hex')}`,
      );
      socket.destroy();
    });

    test('auth may be text and fragmented too', async () => {
      const client = await stage.ws();
      const frame = encodeFrame({ ver: 1, op: Operation.Auth, seq: 1, body: Buffer.from('{"mid":1}') });
      client.sendFragments([frame.subarray(0, 3), frame.subarray(3, 20), frame.subarray(20)], false);
      expectReply(await client.next(), Operation.AuthReply, 1);
    });

    test.each([1, 4, 15, 16, 17])('a frame fragmented at byte %d is read', async (cut) => {
      const client = await open();
      const frame = encodeFrame({ ver: 1, op: Operation.Subscribe, seq: 6, body: Buffer.from('1,2') });
      client.sendFragments([frame.subarray(0, cut), frame.subarray(cut)]);
      expectReply(await client.next(), Operation.SubscribeReply, 6, '1,2');
    });

    test('fragments of one byte and empty ones, with pings between, are read', async () => {
      const client = await open();
      const frame = heartbeat(3);
      const pieces = [...frame].flatMap((byte) => [Uint8Array.of(byte), EMPTY]);
      const pongs: Promise<string>[] = [];
      client.sendFragments(pieces, true, () => {
        if (pongs.length < 5) pongs.push(client.ping(`${pongs.length}`));
      });
      expect((await client.next()).seq).toBe(3);
      await Promise.all(pongs);
    });

    test('several frames in one message are all read, in order', async () => {
      const client = await open();
      const frames = Array.from({ length: 8 }, (_, seq) => ({ ver: 1, op: 2, seq, body: EMPTY }));
      client.sendBytes(encodeFrames(frames));
      expect((await client.take(8)).map(({ seq }) => seq)).toEqual([0, 1, 2, 3, 4, 5, 6, 7]);
    });

    test('each of several large frames in one message is judged by its own length', async () => {
      const client = await open();
      const frame = (seq: number) => ({
        ver: 1,
        op: Operation.Subscribe,
        seq,
        body: Buffer.alloc(4096, 'x'),
      });
      client.sendBytes(encodeFrames([frame(1), frame(2)]));
      expect((await client.take(2)).map(({ seq }) => seq)).toEqual([1, 2]);
    });

    test.each([
      ['an empty message', EMPTY],
      ['a message shorter than a header', header({ packLen: 16 }).subarray(0, 15)],
      ['a body one byte short', Buffer.concat([header({ packLen: 18 }), Buffer.from('x')])],
      ['packLen 4,112 in a message of 16', header({ packLen: 4112 })],
    ])('%s closes the connection and echoes nothing', async (_name, message) => {
      const client = await open();
      const answered = client.wire.length;
      client.sendBytes(message);
      expect((await client.end()).code).toBe(CloseCode.BadFrame);
      expect(client.wire).toHaveLength(answered);
    });

    test.each([
      ['a byte left over', Buffer.from('x')],
      ['a bad header', header({ packLen: 16, headerLen: 9 })],
      ['half a frame', heartbeat(2).subarray(0, 8)],
    ])('a good frame with %s behind it is answered, then the connection is closed', async (_name, rest) => {
      const client = await open();
      client.sendBytes(Buffer.concat([heartbeat(1), rest]));
      expectReply(await client.next(), Operation.HeartbeatReply, 1, '\0\0\0\0');
      const { code, reason } = await client.end();
      expect(code).toBe(CloseCode.BadFrame);
      expect(reason).toMatch(/\S/);
      expect(client.waiting).toEqual([]);
    });

    test('a fragmented message of 16 bytes with packLen 4,112 costs that connection only', async () => {
      const [bad, good] = await Promise.all([open(), open()]);
      const message = header({ packLen: 4112 });
      bad.sendFragments([message.subarray(0, 8), message.subarray(8)]);
      expect((await bad.end()).code).toBe(CloseCode.BadFrame);
      expect(await good.heartbeat()).toBe(0);
      expect(await (await open()).heartbeat()).toBe(0);
    });

    test("a packLen larger than the message never echoes another client's memory", async () => {
      const victim = await open();
      const secret = Buffer.alloc(4000, 'SECRET');
      for (let i = 0; i < 20; i += 1) await victim.request(Operation.Subscribe, secret);
      const attackers = await Promise.all(Array.from({ length: 20 }, () => open()));
      await Promise.all(
        attackers.map(async (attacker) => {
          attacker.sendBytes(header({ packLen: 4112, op: Operation.ChangeRoom }));
          await attacker.end();
          expect(attacker.wire).toHaveLength(1);
        }),
      );
    });

    test.each([
      ['an unmasked frame', '8210' + '00000010001000010000000200000001', 1002],
      ['a reserved opcode', '8380' + '00000000', 1002],
      ['a continuation of nothing', '8080' + '00000000', 1002],
      ['a reserved bit', 'f280' + '00000000', 1002],
      ['a length of 2^63 - 1', '82ff' + '7fffffffffffffff' + '00000000', 1009],
      ['a length of 2^32 - 1', '82ff' + '00000000ffffffff' + '00000000', 1009],
    ])('%s ends that connection and no other, and is told why', async (_name, bytesOnTheWire, code) => {
      const good = await open();
      const socket = await rawUpgrade(stage.target.ws);
      const ended = once(socket, 'close');
      const answers = new RawAnswers(socket);
      socket.write(Buffer.from(bytesOnTheWire, 'hex'));
      const [opcode, length] = Buffer.from(await answers.take(2), 'hex');
      expect(opcode).toBe(0x88);
      // The code, and words.
      expect(length).toBeGreaterThan(10);
      expect(Buffer.from(await answers.take(4), 'hex').readUInt16BE(2)).toBe(code);
      socket.end();
      await within(ended, 5_000, () => 'not closed');
      expect(await good.heartbeat()).toBe(0);
    });
  });

  describe('control frames', () => {
    test('a ping is answered at once, before and after auth, with its payload', async () => {
      const client = await stage.ws();
      expect(await client.ping('before')).toBe('before');
      await client.auth({});
      expect(await client.ping('after')).toBe('after');
      expect(await client.ping('')).toBe('');
    });

    test("a client's close is answered with a close frame", async () => {
      const client = await open();
      client.sendClose(1000);
      expect((await client.end()).code).toBe(1000);
    });

    test('a connection that is closed by the server gets a close frame with a code, never 1006', async () => {
      const client = await stage.ws();
      client.send({ op: Operation.Auth, body: Buffer.from('no JSON') });
      expect(await client.end()).toMatchObject({ code: CloseCode.BadToken });
    });
  });

  describe('messages of the server', () => {
    test('pushes that come together are one op 9 frame or several, each of whole frames, in order', async () => {
      const room = newRoom();
      const op = newOp();
      const client = await open({ room_id: room.id });
      await Promise.all(Array.from({ length: 40 }, () => stage.pushRoom(op, room, 'x')));
      for (let i = 0; i < 40; i += 1) await expectPush(client, op, 'x');
      // Message by message: nothing but op 9 with version 1 and seq 0, after the auth reply.
      for (const message of client.wire.slice(1)) {
        expect(message.slice(8, 32)).toBe('001000010000000900000000');
      }
    });
  });
}
