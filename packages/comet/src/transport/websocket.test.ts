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
    expect((await client.end()).code).toBe(4_000);
    await until(() => harness.comet.table.size === 0);
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
    expect((await client.end()).code).toBe(1_009);
    await until(() => harness.comet.table.size === 0);
  });
});
