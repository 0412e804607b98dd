import { afterEach, beforeEach, describe, expect, test } from '@jest/globals';
import { writeAuth } from '@halley/protocol/client/auth';
import { Start } from '@halley/protocol/client/bodies';
import { CloseCode } from '@halley/protocol/close-code';
import { HalleyError } from '@halley/protocol/error';
import { readInt32 } from '@halley/protocol/frame';
import { encodeFrameV2, FrameFlag, frameV2 } from '@halley/protocol/frame-v2';
import type { ConnectionKey } from '@halley/protocol/ids';
import { deflateRaw } from '@halley/service/raw-deflate';

import { outgoing } from '../../delivery/outgoing.js';
import { CometHarness } from '../../testing/harness.js';
import { frame, type TcpClient } from '../../testing/test-client.js';
import { Version2Client } from '../../testing/version2-client.js';

const TOKEN = { mid: 1, key: 'k', accepts: [5] };

let harness: CometHarness;
beforeEach(async () => {
  harness = await CometHarness.start({ presence: { pollMs: 3_600_000 } });
});
afterEach(() => harness.stop());

describe.each(['tcp', 'ws'] as const)('a client over %s that asks for version 2', (transport) => {
  test('is answered in the long frame with the limits and where its inbox goes on', async () => {
    const client = await harness.version2({ ...TOKEN, room_id: 'live://1' }, {}, transport);
    expect(client.auth).toMatchObject({
      mid: '1',
      key: 'k',
      heartbeatMs: 30_000,
      inbox: { stream: 'u/1', epoch: 'e1', position: -1 },
      maxClientBodyBytes: 4_096,
      windowEntries: 256,
      windowBytes: 524_288,
      maxRooms: 100,
      maxWatched: 1_000,
      deflate: false,
      checksum: false,
      room: 'live://1',
    });
    expect(harness.logic.calls.slice(0, 2)).toEqual(['connect', 'enter live://1']);
  });

  test('goes on where it says', async () => {
    const cursor = { epoch: 'e1', position: -1 };
    await harness.version2(TOKEN, { cursor }, transport);
    await harness.version2({ ...TOKEN, key: 'l' }, { start: Start.Newest }, transport);
    expect(harness.logic.connects.map(({ version2 }) => version2)).toEqual([
      { cursor, start: Start.Unspecified },
      { cursor: undefined, start: Start.Newest },
    ]);
  });

  test('gets what its wishes were, deflated and with checksums', async () => {
    const client = await harness.version2(TOKEN, { deflate: true, checksum: true }, transport);
    expect(client.auth).toMatchObject({ deflate: true, checksum: true });
    const body = Buffer.alloc(20_000, 'abc');
    const before = client.wire.receivedBytes;
    harness.comet.deliverer.toKeys(['k'], outgoing(5, body));
    const raw = await client.wire.next();
    expect(raw.flags).toBe(FrameFlag.Checksum | FrameFlag.Deflated);
    expect(client.wire.receivedBytes - before).toBeLessThan(1_000);
  });

  test('is told why before the connection ends', async () => {
    const client = await harness.version2(TOKEN, {}, transport);
    harness.comet.table.get('k' as ConnectionKey)?.close(CloseCode.Kicked, 'bye');
    const { close, ended } = await client.end();
    expect(close).toMatchObject({ code: CloseCode.Kicked, text: 'bye', reconnect: true });
    expect(ended.code).toBe(transport === 'ws' ? CloseCode.Kicked : 0);
  });

  test('is told that it was taken over, and not to come back', async () => {
    const first = await harness.version2(TOKEN, {}, transport);
    await harness.version2(TOKEN, {}, transport);
    expect((await first.end()).close).toMatchObject({ code: CloseCode.TakenOver, reconnect: false });
  });

  test('is told that its token is bad', async () => {
    harness.logic.failure = new HalleyError('token_expired');
    const wire = await harness[transport]();
    wire.send(frame(7, writeAuth(JSON.stringify(TOKEN))));
    expect((await wire.next()).op).toBe(30);
    expect((await wire.end()).code).toBe(transport === 'ws' ? CloseCode.TokenExpired : 0);
  });

  test('and sends the long frame ahead of the answer is closed behind the answer', async () => {
    const wire = await harness[transport]();
    wire.send(frame(7, writeAuth(JSON.stringify(TOKEN))), frameV2(2, 1, Buffer.alloc(0)));
    expect((await wire.next()).op).toBe(8);
    expect((await wire.next()).op).toBe(30);
    expect((await wire.end()).code).toBe(transport === 'ws' ? CloseCode.BadFrame : 0);
  });

  test('may still send goim frames, and is answered in the long form', async () => {
    const client = await harness.version2({ ...TOKEN, room_id: 'r' }, {}, transport);
    client.wire.send(frame(2, '', 3), frame(4, 'hello', 4), frame(14, '6', 5), frame(7, '{}', 6));
    const answers = [];
    for (let i = 0; i < 4; i += 1) answers.push(await client.wire.next());
    expect(answers.map(({ ver, op, seq, flags }) => [ver, op, seq, flags])).toEqual([
      [2, 3, 3, 0],
      [2, 4, 4, 0],
      [2, 15, 5, 0],
      [2, 7, 6, 0],
    ]);
    expect(readInt32(answers[0]?.body as Uint8Array, 0)).toBe(1);
    expect(harness.logic.received.map(({ roomId }) => roomId)).toEqual(['r']);
  });

  test('gets pushes without a stream in 20, with an empty epoch', async () => {
    const client = await harness.version2({ ...TOKEN, room_id: 'r' }, {}, transport);
    harness.comet.deliverer.toKeys(['k'], outgoing(5, Buffer.from('key')));
    expect(await client.delivered()).toMatchObject({ stream: '', epoch: '', entries: [{ operation: 5 }] });
    harness.comet.deliverer.toRoom('r', outgoing(9_999, Buffer.from('room')));
    expect(await client.delivered()).toMatchObject({ stream: 'r/r', epoch: '' });
    harness.comet.deliverer.toEveryone(outgoing(5, Buffer.from('all')), 0);
    harness.comet.deliverer.toEveryone(outgoing(6, Buffer.from('not accepted')), 0);
    expect(await client.delivered()).toMatchObject({ stream: 'all', epoch: '' });
    expect(await client.rest()).toEqual([]);
  });

  test('gets frames of the protocol itself, which version 1 does not', async () => {
    const client = await harness.version2(TOKEN, {}, transport);
    const old = await harness.tcpOf({ mid: 1, key: 'old', accepts: [32] });
    harness.comet.deliverer.toKeys(['k', 'old'], outgoing(32, Buffer.from('x'), undefined, true));
    expect(await client.next()).toMatchObject({ op: 32, seq: 0 });
    old.send(frame(1_000));
    expect((await old.next()).op).toBe(1_000);
  });

  test('is refused what is not served, and lives on', async () => {
    const client = await harness.version2(TOKEN, {}, transport);
    for (const op of [12, 19, 20, 22, 30, 39, 63]) {
      expect(await client.refusal(client.raw(op, Buffer.from('x')))).toBe('unsupported_operation');
    }
    client.raw(64, Buffer.alloc(0));
    expect((await client.next()).op).toBe(64);
  });
});

describe('what closes a connection with version 2', () => {
  const garbage = Buffer.from('ff', 'hex');
  test.each([18, 21, 24, 26, 31, 32, 33, 37])('a body that is not that of op %i: 3501', async (op) => {
    const client = await harness.version2(TOKEN);
    client.raw(op, garbage);
    expect((await client.end()).close?.code).toBe(CloseCode.BadFrame);
  });

  test('a flag that is not known: 3501', async () => {
    const client = await harness.version2(TOKEN);
    client.raw(2, Buffer.alloc(0), 4);
    expect((await client.end()).close?.code).toBe(CloseCode.BadFrame);
  });

  test('a checksum that does not hold: 3010', async () => {
    const client = await harness.version2(TOKEN);
    const bytes = encodeFrameV2(frameV2(4, 1, Buffer.from('x'), FrameFlag.Checksum));
    bytes[20] = 0;
    (client.wire as TcpClient).write(bytes);
    expect((await client.end()).close?.code).toBe(CloseCode.CorruptFrame);
  });

  test('a body that inflates above the limit: 3502', async () => {
    const client = await harness.version2(TOKEN);
    client.raw(4, deflateRaw(Buffer.alloc(1_000_000)), FrameFlag.Deflated);
    expect((await client.end()).close?.code).toBe(CloseCode.FrameTooLarge);
  });

  test('a body that does not inflate: 3501', async () => {
    const client = await harness.version2(TOKEN);
    client.raw(4, Buffer.from('no deflate stream'), FrameFlag.Deflated);
    expect((await client.end()).close?.code).toBe(CloseCode.BadFrame);
  });

  test.each(['tcp', 'ws'] as const)(
    'a wish of a wrong type, over %s: 3500, which 30 says',
    async (transport) => {
      const client = new Version2Client(await harness[transport]());
      client.wire.send(frame(7, '{"ver":2,"mid":1,"deflate":"yes"}'));
      const { close, ended } = await client.end();
      expect(close).toMatchObject({ code: CloseCode.BadToken, reconnect: false });
      expect(ended.code).toBe(transport === 'ws' ? CloseCode.BadToken : 0);
    },
  );
});

test('a deflated request is read, and what is for the business is handed over inflated', async () => {
  const client = await harness.version2(TOKEN, { deflate: true });
  const body = Buffer.alloc(4_000, 'y');
  client.raw(1_000, deflateRaw(body), FrameFlag.Deflated);
  expect((await client.next()).op).toBe(1_000);
  expect(Buffer.from(harness.logic.received[0]?.frame.body ?? []).equals(body)).toBe(true);
});

test('where version 2 is off the client is answered as one of version 1', async () => {
  await harness.stop();
  harness = await CometHarness.start({ session: { version2: false } });
  const wire = await harness.tcp();
  wire.send(frame(7, writeAuth(JSON.stringify(TOKEN)), 9));
  expect(await wire.next()).toEqual({ ver: 1, op: 8, seq: 9, body: new Uint8Array(0) });
  wire.send(frame(12, 'r'), frame(18, 'x'));
  expect((await wire.next()).op).toBe(13);
  expect((await wire.next()).op).toBe(18);
  expect(harness.logic.connects[0]?.version2).toBeUndefined();
});

test('a wrapped token reaches logic as it was before', async () => {
  const wire = await harness.tcp();
  wire.send(frame(7, writeAuth('another token')));
  await wire.end();
  expect(Buffer.from(harness.logic.connects[0]?.token ?? []).toString()).toBe('another token');
});
