import type { Socket } from 'node:net';

import { afterEach, beforeEach, describe, expect, test } from '@jest/globals';
import { CloseCode } from '@halley/protocol/close-code';
import { encodeFrame } from '@halley/protocol/frame';

import { outgoing } from '../delivery/outgoing.js';
import { CometHarness, until } from '../testing/harness.js';
import { frame } from '../testing/test-client.js';

describe('WebSocket', () => {
  let harness: CometHarness;
  beforeEach(async () => {
    harness = await CometHarness.start({ allowsOrigin: (origin) => origin === 'https://good.example' });
  });
  afterEach(() => harness.stop());

  test('is served at /sub exactly', async () => {
    for (const path of ['/', '/sub/', '/sub?x=1', '/SUB', '/other']) {
      await expect(harness.ws({ path })).rejects.toThrow('404');
    }
    expect(await harness.metric('halley_comet_connections_refused_total', { reason: 'path' })).toBe(5);
  });

  test('takes listed origins and clients without one', async () => {
    await harness.ws();
    await harness.ws({ headers: { origin: 'https://good.example' } });
    await expect(harness.ws({ headers: { origin: 'https://bad.example' } })).rejects.toThrow('403');
  });

  test('text, fragmented and glued messages are read', async () => {
    const client = await harness.wsOf({ mid: 1 });
    client.ws.send(Buffer.from(encodeFrame(frame(4, 'text', 2))).toString('latin1'), { binary: false });
    expect((await client.next()).seq).toBe(2);
    const bytes = encodeFrame(frame(4, 'in parts', 3));
    for (let i = 0; i < bytes.length; i += 1) {
      client.ws.send(bytes.subarray(i, i + 1), { fin: i === bytes.length - 1, binary: true });
    }
    expect((await client.next()).seq).toBe(3);
    client.ws.send(Buffer.concat([encodeFrame(frame(4, 'a', 4)), encodeFrame(frame(4, 'b', 5))]));
    expect([(await client.next()).seq, (await client.next()).seq]).toEqual([4, 5]);
  });

  test('text messages are read whatever bytes they have', async () => {
    const client = await harness.wsOf({ mid: 1 });
    const body = Buffer.from(Array.from({ length: 256 }, (_, byte) => byte));
    client.ws.send(encodeFrame(frame(4, body, -2)), { binary: false });
    expect((await client.next()).seq).toBe(-2);
    expect(harness.logic.received[0]?.frame.body).toEqual(Uint8Array.from(body));
  });

  test('a whole frame is handled, and what is left over behind it closes', async () => {
    const client = await harness.wsOf({ mid: 1 });
    client.ws.send(Buffer.concat([encodeFrame(frame(4, 'good', 3)), Buffer.from('rubbish')]));
    expect((await client.next()).seq).toBe(3);
    expect(await client.end()).toEqual({
      code: CloseCode.BadFrame,
      reason: 'The message ends 7 bytes into a header.',
    });
    expect(harness.logic.received).toHaveLength(1);
  });

  test.each([
    ['a reserved bit', 'f28000000000', 1_002, 'Invalid WebSocket frame: RSV2 and RSV3 must be clear.'],
    ['a continuation of nothing', '808000000000', 1_002, 'Invalid WebSocket frame: invalid opcode 0.'],
    ['a long message', '82ff000000010000000000000000', 1_009, 'The message is larger than the limit.'],
    [
      'many parts',
      '0280000000'.padEnd(12, '0') + '008000000000'.repeat(1_100),
      1_008,
      'The message came in too many parts.',
    ],
  ])('%s closes with a reason, behind what came before', async (_name, hex, code, reason) => {
    const client = await harness.wsOf({ mid: 1 });
    let letGo = (): void => undefined;
    harness.logic.gate = new Promise<void>((resolve) => {
      letGo = resolve;
    });
    client.send(frame(4, 'a', 3), frame(4, 'b', 4));
    (client.ws as unknown as { _socket: Socket })._socket.write(Buffer.from(hex, 'hex'));
    await until(() => harness.logic.calls.includes('receive a'));
    await new Promise((resolve) => setTimeout(resolve, 50));
    expect(client.ended).toBeUndefined();
    letGo();
    expect([(await client.next()).seq, (await client.next()).seq]).toEqual([3, 4]);
    expect(await client.end()).toEqual({ code, reason });
    await until(() => harness.comet.table.size === 0);
  });

  test('a fragmented 16-byte message that says 4,112 closes one connection', async () => {
    const other = await harness.wsOf({ mid: 2 });
    const client = await harness.wsOf({ mid: 1 });
    const bytes = Buffer.from('00001010001000010000000400000001', 'hex');
    client.ws.send(bytes.subarray(0, 8), { fin: false });
    client.ws.send(bytes.subarray(8), { fin: true });
    expect((await client.end()).code).toBe(CloseCode.BadFrame);
    expect(client.frames).toEqual([]);
    other.send(frame(2, '', 7));
    expect((await other.next()).seq).toBe(7);
  });

  test('a length above the message closes it and echoes nothing', async () => {
    const other = await harness.wsOf({ mid: 2 });
    other.send(frame(4, 'a secret of another client'.repeat(50)));
    await other.next();
    const client = await harness.wsOf({ mid: 1 });
    client.ws.send(Buffer.from('0000101000100001000000040000000141', 'hex'));
    expect((await client.end()).code).toBe(CloseCode.BadFrame);
    expect(client.receivedBytes).toBe(16);
  });

  test('a ping is answered at once, and none is ever sent', async () => {
    const client = await harness.wsOf({ mid: 1 });
    const pong = new Promise<string>((resolve) => {
      client.ws.once('pong', (data) => resolve(data.toString()));
    });
    client.ws.ping('are you there');
    expect(await pong).toBe('are you there');
    expect(client.pings).toBe(0);
  });

  test('a close frame is answered with one', async () => {
    const client = await harness.wsOf({ mid: 1, key: 'k' });
    client.ws.close(4_000, 'bye');
    expect(await client.end()).toEqual({ code: 4_000, reason: 'bye' });
    await until(() => harness.comet.table.size === 0);
  });

  test('a reason that is no text is not sent back', async () => {
    const client = await harness.wsOf({ mid: 1 });
    (client.ws as unknown as { _socket: Socket })._socket.write(Buffer.from('8884000000000fa0ff80', 'hex'));
    expect(await client.end()).toEqual({ code: 4_000, reason: '' });
  });

  test('pongs and pushes never mix', async () => {
    const client = await harness.wsOf({ mid: 1, key: 'k', accepts: [1] });
    let pongs = 0;
    client.ws.on('pong', () => {
      pongs += 1;
    });
    for (let i = 0; i < 200; i += 1) {
      client.ws.ping(`${i}`);
      harness.comet.deliverer.toKeys(['k'], outgoing(1, Buffer.alloc(3_000, i)));
      if (i % 10 === 0) await new Promise((resolve) => setImmediate(resolve));
    }
    for (let i = 0; i < 200; i += 1) expect((await client.next()).body[0]).toBe(i);
    await until(() => pongs === 200);
  });

  test('a message above the limit is closed, by ws itself', async () => {
    const client = await harness.wsOf({ mid: 1 });
    client.ws.send(Buffer.alloc(70_000));
    expect(await client.end()).toEqual({ code: 1_009, reason: 'The message is larger than the limit.' });
    await until(() => harness.comet.table.size === 0);
  });
});
