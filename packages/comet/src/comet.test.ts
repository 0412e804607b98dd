import { connect } from 'node:net';

import { afterEach, beforeEach, describe, expect, test } from '@jest/globals';
import { CloseCode } from '@halley/protocol/close-code';
import { HalleyError } from '@halley/protocol/error';
import { encodeFrame, readInt32 } from '@halley/protocol/frame';

import { outgoing } from './delivery/outgoing.js';
import { CometHarness, until } from './testing/harness.js';
import { frame, type TcpClient, WsClient } from './testing/test-client.js';

const text = (bytes: Uint8Array): string => Buffer.from(bytes).toString();

describe.each(['tcp', 'ws'] as const)('a client over %s', (transport) => {
  let harness: CometHarness;
  const open = (): Promise<TcpClient | WsClient> => harness[transport]();
  const openAs = async (token: object): Promise<TcpClient | WsClient> => {
    const client = await open();
    await client.auth(token);
    return client;
  };

  beforeEach(async () => {
    harness = await CometHarness.start();
  });
  afterEach(() => harness.stop());

  test('is answered an empty op 8 with its ver and seq once its route and room are written', async () => {
    const client = await open();
    client.send(frame(7, '{"mid":1,"key":"k","room_id":"live://1"}', 77, 3));
    expect(await client.next()).toEqual({ ver: 3, op: 8, seq: 77, body: new Uint8Array(0) });
    expect(harness.logic.calls.slice(0, 2)).toEqual(['connect', 'enter live://1']);
    expect(harness.comet.rooms.get('live://1' as never)?.size).toBe(1);
  });

  test('is ignored until it authenticates', async () => {
    const client = await open();
    client.send(frame(2), frame(4, 'x'), frame(12, 'room'));
    client.send(frame(7, '{"mid":1}', 5));
    expect(await client.next()).toMatchObject({ op: 8, seq: 5 });
    expect(harness.logic.received).toEqual([]);
  });

  test('is closed without a reply when its token is bad', async () => {
    const client = await open();
    client.send(frame(7, 'no json'));
    const { code } = await client.end();
    expect(code).toBe(transport === 'ws' ? CloseCode.BadToken : 0);
    expect(client.frames).toEqual([]);
  });

  test('gets its own seq and an empty body when it authenticates again', async () => {
    const client = await openAs({ mid: 1 });
    client.send(frame(7, '{"mid":2}', 9));
    expect(await client.next()).toEqual({ ver: 1, op: 7, seq: 9, body: new Uint8Array(0) });
    expect(harness.logic.calls.filter((call) => call === 'connect')).toHaveLength(1);
  });

  test('hears how many are in its room with each heartbeat, 0 without a room', async () => {
    const one = await openAs({ mid: 1, room_id: 'r' });
    await openAs({ mid: 2, room_id: 'r' });
    one.send(frame(2, '', 3));
    const inRoom = await one.next();
    expect([inRoom.op, inRoom.seq, readInt32(inRoom.body, 0)]).toEqual([3, 3, 2]);
    one.send(frame(12, ''), frame(2));
    await one.next();
    expect(readInt32((await one.next()).body, 0)).toBe(0);
  });

  test('eight frames in one write, right behind the auth, are answered in their order', async () => {
    const client = await open();
    const frames = [frame(7, '{"mid":1,"room_id":"r"}', 1)];
    for (let seq = 2; seq <= 9; seq += 1) frames.push(frame(seq % 2 ? 4 : 2, 'x', seq));
    client.send(...frames);
    const seqs: number[] = [];
    for (let i = 0; i < 9; i += 1) seqs.push((await client.next()).seq);
    expect(seqs).toEqual([1, 2, 3, 4, 5, 6, 7, 8, 9]);
  });

  test('many frames while logic is slow are handled one after another', async () => {
    const client = await openAs({ mid: 1, key: 'k' });
    for (let i = 0; i < 300; i += 1) client.send(frame(1_000, `m${i}`, i));
    for (let i = 0; i < 300; i += 1) expect((await client.next()).seq).toBe(i);
    expect(harness.logic.received.map(({ frame: { body } }) => text(body))).toEqual(
      Array.from({ length: 300 }, (_, i) => `m${i}`),
    );
  });

  test.each([4, 18, 1_000, -5, 3, 5, 6, 9])('op %i goes to the business and comes back empty', async (op) => {
    const client = await openAs({ mid: 42, key: 'k', room_id: 'r' });
    client.send(frame(op, 'hello', 6));
    expect(await client.next()).toEqual({ ver: 1, op, seq: 6, body: new Uint8Array(0) });
    expect(harness.logic.received[0]).toMatchObject({ mid: '42', key: 'k', roomId: 'r', frame: { op } });
  });

  test('is closed when a message for the business cannot be written', async () => {
    const client = await openAs({ mid: 1 });
    harness.logic.failure = new HalleyError('bus_refused');
    client.send(frame(4, 'x'));
    const { code } = await client.end();
    expect(code).toBe(transport === 'ws' ? CloseCode.Unavailable : 0);
    expect(client.frames).toEqual([]);
  });

  test('changes its room, and its body comes back once the route is written', async () => {
    const client = await openAs({ mid: 1, room_id: 'a' });
    client.send(frame(12, 'b', 4));
    expect(await client.next()).toMatchObject({ op: 13, seq: 4 });
    expect(harness.logic.rooms.has('b')).toBe(true);
    harness.comet.deliverer.toRoom('a', outgoing(5, Buffer.from('old')));
    harness.comet.deliverer.toRoom('b', outgoing(5, Buffer.from('new')));
    expect(await client.texts(1)).toEqual(['5:new']);
  });

  test('joining the own room again does not end its pushes', async () => {
    const client = await openAs({ mid: 1, room_id: 'a' });
    client.send(frame(12, 'a'));
    expect(await client.texts(1)).toEqual(['13:a']);
    harness.comet.deliverer.toRoom('a', outgoing(5, Buffer.from('still')));
    expect(await client.texts(1)).toEqual(['5:still']);
    expect(harness.comet.rooms.get('a' as never)?.size).toBe(1);
  });

  test('subscribes and unsubscribes; a bad list is echoed and changes nothing', async () => {
    const client = await openAs({ mid: 1, key: 'k', accepts: [1] });
    client.send(frame(14, '2,3'), frame(16, '1'), frame(14, '4,x'), frame(16, '2,'));
    expect(await client.texts(4)).toEqual(['15:2,3', '17:1', '15:4,x', '17:2,']);
    for (const op of [1, 2, 3, 4]) harness.comet.deliverer.toKeys(['k'], outgoing(op, Buffer.from('p')));
    expect(await client.texts(2)).toEqual(['2:p', '3:p']);
  });

  test('pushes to keys and everyone reach who accepts the operation, pushes to a room everybody in it', async () => {
    const yes = await openAs({ mid: 1, key: 'yes', accepts: [1_000], room_id: 'r' });
    const no = await openAs({ mid: 2, key: 'no', accepts: [], room_id: 'r' });
    const { deliverer } = harness.comet;
    deliverer.toKeys(['yes', 'no', 'nobody'], outgoing(1_000, Buffer.from('key')));
    deliverer.toEveryone(outgoing(1_000, Buffer.from('all')), 0);
    await new Promise((resolve) => setImmediate(resolve));
    deliverer.toRoom('r', outgoing(1_000, Buffer.from('room')));
    expect(await yes.texts(3)).toEqual(['1000:key', '1000:all', '1000:room']);
    expect(await no.texts(1)).toEqual(['1000:room']);
    if (yes instanceof WsClient) expect(yes.outer).toEqual([8, 9, 9, 9]);
  });

  test('500 pushes in a row to one user arrive all, once and in order', async () => {
    const client = await openAs({ mid: 1, key: 'k', accepts: [1] });
    for (let i = 0; i < 500; i += 1) harness.comet.deliverer.toKeys(['k'], outgoing(1, Buffer.from(`${i}`)));
    expect(await client.texts(500)).toEqual(Array.from({ length: 500 }, (_, i) => `1:${i}`));
  });

  test('room pushes of one tick leave joined, in order', async () => {
    const client = await openAs({ mid: 1, room_id: 'r' });
    for (let i = 0; i < 50; i += 1) harness.comet.deliverer.toRoom('r', outgoing(1, Buffer.from(`${i}`)));
    expect(await client.texts(50)).toEqual(Array.from({ length: 50 }, (_, i) => `1:${i}`));
    if (client instanceof WsClient) expect(client.outer).toEqual([8, 9]);
  });

  test('the same key again takes over: the old connection is closed, and the new one keeps its route', async () => {
    const old = await openAs({ mid: 1, key: 'k', accepts: [1] });
    const fresh = await openAs({ mid: 1, key: 'k', accepts: [1] });
    expect((await old.end()).code).toBe(transport === 'ws' ? CloseCode.TakenOver : 0);
    harness.comet.deliverer.toKeys(['k'], outgoing(1, Buffer.from('for the new one')));
    expect(await fresh.texts(1)).toEqual(['1:for the new one']);
    expect(harness.logic.calls).not.toContain('disconnect k');
    expect(harness.logic.routes.get('k')).toBe('0000000002');
  });

  test("another user's key is refused", async () => {
    const first = await openAs({ mid: 1, key: 'k', accepts: [1] });
    const second = await open();
    second.send(frame(7, '{"mid":2,"key":"k"}'));
    expect((await second.end()).code).toBe(transport === 'ws' ? CloseCode.KeyInUse : 0);
    harness.comet.deliverer.toKeys(['k'], outgoing(1, Buffer.from('mine')));
    expect(await first.texts(1)).toEqual(['1:mine']);
  });

  test('its route is removed when it goes', async () => {
    const client = await openAs({ mid: 1, key: 'k', room_id: 'r' });
    client.close();
    await until(() => !harness.logic.routes.has('k'));
    expect(harness.comet.table.size).toBe(0);
    expect(harness.comet.rooms.size).toBe(0);
    expect(harness.comet.counter.addresses).toBe(0);
    expect(await harness.metric('halley_comet_connections')).toBe(0);
  });

  test('its route is removed when it goes while it is being authenticated', async () => {
    let letGo = (): void => undefined;
    harness.logic.gate = new Promise<void>((resolve) => {
      letGo = resolve;
    });
    const client = await open();
    client.send(frame(7, '{"mid":1,"key":"k","room_id":"r"}'));
    await until(() => harness.logic.calls.length > 0);
    client.close();
    await new Promise((resolve) => setTimeout(resolve, 50));
    letGo();
    await until(() => harness.logic.calls.includes('disconnect k'));
    expect(harness.comet.table.size).toBe(0);
  });

  test.each([
    [
      'a length below the header',
      Buffer.from('0000000f00100001000000020000000100000000', 'hex'),
      CloseCode.BadFrame,
    ],
    ['length 0', Buffer.from('0000000000100001000000020000000100000000', 'hex'), CloseCode.BadFrame],
    ['a negative length', Buffer.from('ffffffff00100001000000020000000100000000', 'hex'), CloseCode.BadFrame],
    ['another header length', Buffer.from('00000010001400010000000200000001', 'hex'), CloseCode.BadFrame],
    ['a body above 4,096 bytes', encodeFrame(frame(4, 'x'.repeat(4_097))), CloseCode.FrameTooLarge],
  ])('%s closes the connection and nobody else notices', async (_name, bytes, code) => {
    const other = await openAs({ mid: 2 });
    const client = await openAs({ mid: 1 });
    if (client instanceof WsClient) client.ws.send(bytes);
    else client.write(bytes);
    expect((await client.end()).code).toBe(transport === 'ws' ? code : 0);
    other.send(frame(2, '', 8));
    expect((await other.next()).seq).toBe(8);
  });

  test('a body of 4,096 bytes is taken', async () => {
    const client = await openAs({ mid: 1 });
    client.send(frame(4, 'x'.repeat(4_096), 2));
    expect((await client.next()).seq).toBe(2);
    expect(harness.logic.received[0]?.frame.body.length).toBe(4_096);
  });

  test('a handler that throws costs one connection', async () => {
    const other = await openAs({ mid: 2 });
    const client = await openAs({ mid: 1 });
    harness.comet.directory.acquire = () => {
      throw new TypeError('planted');
    };
    client.send(frame(12, 'x'));
    expect((await client.end()).code).toBe(transport === 'ws' ? CloseCode.InternalError : 0);
    other.send(frame(2, '', 8));
    expect((await other.next()).seq).toBe(8);
  });

  test('a room that the token does not grant is refused', async () => {
    harness.logic.answer = { anyRoom: false, roomGrants: ['live://*', 'chat://7'] };
    const client = await openAs({ mid: 1 });
    client.send(frame(12, 'live://5'), frame(12, 'chat://7'), frame(12, 'chat://8'));
    expect(await client.texts(2)).toEqual(['13:live://5', '13:chat://7']);
    expect((await client.end()).code).toBe(transport === 'ws' ? CloseCode.RoomNotGranted : 0);
  });
});

describe('deadlines', () => {
  let harness: CometHarness | undefined;
  afterEach(() => harness?.stop());

  test('no auth in time closes with a code, also when other frames come', async () => {
    harness = await CometHarness.start({
      session: { handshakeTimeoutMs: 300, closeTimeoutMs: 500, maxEarlyBytes: 65_536 },
    });
    const tcp = await harness.tcp();
    const ws = await harness.ws();
    ws.send(frame(2));
    expect((await ws.end()).code).toBe(CloseCode.HandshakeTimeout);
    await tcp.end();
  });

  test('while logic cannot be reached auth is tried again, and closes as unavailable at the deadline', async () => {
    harness = await CometHarness.start({
      session: { handshakeTimeoutMs: 600, closeTimeoutMs: 500, maxEarlyBytes: 65_536 },
    });
    harness.logic.failure = new HalleyError('no_node');
    const ws = await harness.ws();
    ws.send(frame(7, '{"mid":1}'));
    expect((await ws.end()).code).toBe(CloseCode.Unavailable);
    expect(harness.logic.calls.length).toBeGreaterThan(1);
  });

  test('logic that comes back in time answers the auth that waits', async () => {
    harness = await CometHarness.start();
    harness.logic.failure = new HalleyError('store_unavailable');
    const ws = await harness.ws();
    ws.send(frame(7, '{"mid":1,"room_id":"r"}'));
    await until(() => (harness as CometHarness).logic.calls.length > 1);
    harness.logic.failure = undefined;
    expect((await ws.next()).op).toBe(8);
  });

  test('only op 2 keeps a connection alive', async () => {
    harness = await CometHarness.start();
    harness.logic.answer = { heartbeatMs: 400 };
    const beating = await harness.wsOf({ mid: 1 });
    const talking = await harness.wsOf({ mid: 2 });
    const timer = setInterval(() => {
      if (beating.ended === undefined) beating.send(frame(2));
      if (talking.ended === undefined) talking.send(frame(4, 'x'));
    }, 50);
    expect((await talking.end()).code).toBe(CloseCode.HeartbeatTimeout);
    await new Promise((resolve) => setTimeout(resolve, 400));
    clearInterval(timer);
    expect(beating.ended).toBeUndefined();
  });

  test('a token that expires ends the live connection', async () => {
    harness = await CometHarness.start();
    harness.logic.answer = { tokenExpiresAtMs: Date.now() + 400 };
    const ws = await harness.wsOf({ mid: 1 });
    ws.send(frame(2));
    expect((await ws.end()).code).toBe(CloseCode.TokenExpired);
  });

  test('a flood of frames ahead of the auth is closed', async () => {
    harness = await CometHarness.start({
      session: { handshakeTimeoutMs: 8_000, closeTimeoutMs: 500, maxEarlyBytes: 1_000 },
    });
    const ws = await harness.ws();
    for (let i = 0; i < 100; i += 1) ws.send(frame(2));
    expect((await ws.end()).code).toBe(CloseCode.HandshakeTimeout);
  });
});

describe('a client that does not read', () => {
  let harness: CometHarness;
  beforeEach(async () => {
    harness = await CometHarness.start({ outbox: { maxBytes: 100_000, maxTotalBytes: 1_000_000 } });
  });
  afterEach(() => harness.stop());

  // What it proves: the memory that a stuck client costs is bounded, a user's loss is told by a close code instead of
  // being silent, and the client beside it gets everything.
  test('is closed as slow by its own pushes, delaying nobody', async () => {
    const slow = await harness.wsOf({ mid: 1, key: 'slow', accepts: [1] });
    const fast = await harness.tcpOf({ mid: 2, key: 'fast', accepts: [1] });
    slow.ws.pause();
    const body = Buffer.alloc(64 * 1024, 1);
    let most = 0;
    for (let i = 0; i < 400; i += 1) {
      harness.comet.deliverer.toKeys(['slow', 'fast'], outgoing(1, body));
      await new Promise((resolve) => setImmediate(resolve));
      most = Math.max(most, harness.comet.ledger.totalBytes);
    }
    for (let i = 0; i < 400; i += 1) expect((await fast.next()).body.length).toBe(body.length);
    expect(harness.comet.table.get('slow' as never)).toBeUndefined();
    expect(most).toBeLessThanOrEqual(1_000_000);
    slow.ws.resume();
    expect((await slow.end()).code).toBe(CloseCode.Slow);
    expect(await harness.metric('halley_comet_messages_dropped_total', { reason: 'user_slow' })).toBe(1);
  });

  // What it proves: a room never closes a slow member, never waits for it, and says how much it dropped.
  test('misses the newest of its room, counted, and stays', async () => {
    const slow = await harness.tcpOf({ mid: 1, room_id: 'r' });
    const fast = await harness.wsOf({ mid: 2, room_id: 'r' });
    slow.socket.pause();
    const body = Buffer.alloc(64 * 1024, 1);
    for (let i = 0; i < 400; i += 1) {
      body.writeUInt32BE(i);
      harness.comet.deliverer.toRoom('r', outgoing(1, Buffer.from(body)));
      expect(readInt32((await fast.next()).body, 0)).toBe(i);
    }
    const dropped = await harness.metric('halley_comet_messages_dropped_total', { reason: 'room_slow' });
    expect(dropped).toBeGreaterThan(100);
    slow.socket.resume();
    let last = -1;
    for (let i = 0; i < 400 - dropped; i += 1) {
      const position = readInt32((await slow.next()).body, 0);
      expect(position).toBeGreaterThan(last);
      last = position;
    }
    await until(() => {
      harness.comet.ledger.sweep();
      return harness.comet.ledger.totalBytes === 0;
    });
    harness.comet.deliverer.toRoom('r', outgoing(2, Buffer.from('again')));
    expect(await slow.texts(1)).toEqual(['2:again']);
  });
});

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

describe('limits and proxies', () => {
  let harness: CometHarness | undefined;
  afterEach(() => harness?.stop());

  test('the node takes no more connections than configured, and takes them again when some have gone', async () => {
    harness = await CometHarness.start({ limits: { maxConnections: 2, maxConnectionsPerAddress: 0 } });
    const first = await harness.tcpOf({ mid: 1 });
    await harness.tcpOf({ mid: 2 });
    const third = await harness.tcp();
    await third.end();
    first.close();
    await until(() => harness?.comet.counter.open === 1);
    expect((await harness.tcp().then((client) => client.auth({ mid: 3 }))).op).toBe(8);
  });

  test('an address takes no more connections than configured', async () => {
    harness = await CometHarness.start({ limits: { maxConnections: 100, maxConnectionsPerAddress: 1 } });
    await harness.wsOf({ mid: 1 });
    const second = await harness.ws();
    expect((await second.end()).code).toBe(CloseCode.TooManyConnections);
  });

  test.each([
    ['version 1', Buffer.from('PROXY TCP4 203.0.113.7 10.0.0.1 5555 3101\r\n')],
    [
      'version 2',
      Buffer.concat([
        Buffer.from('\r\n\r\n\0\r\nQUIT\n'),
        Buffer.from([0x21, 0x11, 0, 12, 203, 0, 113, 7, 10, 0, 0, 1, 0x15, 0xb3, 0x0c, 0x1d]),
      ]),
    ],
  ])(
    'a PROXY header of %s from a trusted address names the client, over TCP and before HTTP',
    async (_name, header) => {
      harness = await CometHarness.start({ trustedProxies: ['127.0.0.0/8'] });
      const seen: string[] = [];
      const connectTo = harness.logic.connect.bind(harness.logic);
      harness.logic.connect = (ask) => {
        seen.push(ask.clientIp);
        return connectTo(ask);
      };
      const whole = await harness.tcp();
      whole.write(Buffer.concat([header, encodeFrame(frame(7, '{"mid":1}'))]));
      expect((await whole.next()).op).toBe(8);
      const dribbled = await harness.tcp();
      for (const byte of header) {
        dribbled.write(Buffer.from([byte]));
        await new Promise((resolve) => setImmediate(resolve));
      }
      dribbled.send(frame(7, '{"mid":1}'));
      expect((await dribbled.next()).op).toBe(8);
      const plain = await harness.tcp();
      plain.send(frame(7, '{"mid":1}'));
      expect((await plain.next()).op).toBe(8);
      expect(seen).toEqual(['203.0.113.7', '203.0.113.7', '127.0.0.1']);

      const http = connect(harness.comet.boundPorts.ws, '127.0.0.1');
      http.write(header);
      http.write(
        'GET /sub HTTP/1.1\r\nhost: x\r\nupgrade: websocket\r\nconnection: Upgrade\r\n' +
          'sec-websocket-version: 13\r\nsec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n',
      );
      const reply = await new Promise<string>((resolve) =>
        http.once('data', (data) => resolve(data.toString())),
      );
      expect(reply).toContain('101 Switching Protocols');
      http.destroy();
    },
  );

  test('from anybody else a PROXY header is a malformed frame', async () => {
    harness = await CometHarness.start({ trustedProxies: ['10.0.0.0/8'] });
    const client = await harness.tcp();
    client.write(Buffer.from('PROXY TCP4 203.0.113.7 10.0.0.1 5555 3101\r\n'));
    expect((await client.end()).code).toBe(0);
  });

  test('X-Forwarded-For is taken from trusted addresses only', async () => {
    const headers = { 'x-forwarded-for': '198.51.100.1, 203.0.113.9' };
    for (const [trusted, expected] of [
      [['127.0.0.1'], '203.0.113.9'],
      [[], '127.0.0.1'],
    ] as const) {
      harness = await CometHarness.start({ trustedProxies: trusted });
      let seen = '';
      const connectTo = harness.logic.connect.bind(harness.logic);
      harness.logic.connect = (ask) => {
        seen = ask.clientIp;
        return connectTo(ask);
      };
      const client = await harness.ws({ headers });
      await client.auth({ mid: 1 });
      expect(seen).toBe(expected);
      await harness.stop();
    }
  });
});

describe('stopping', () => {
  test('tells every client to go elsewhere, spread over the time given, and removes its route', async () => {
    const harness = await CometHarness.start();
    const clients = await Promise.all(
      Array.from({ length: 20 }, (_, mid) => harness.wsOf({ mid, key: `k${mid}` })),
    );
    const tcp = await harness.tcpOf({ mid: 99, key: 'tcp' });
    const startedMs = Date.now();
    await harness.comet.drain(400);
    expect(Date.now() - startedMs).toBeGreaterThan(250);
    for (const client of clients) expect((await client.end()).code).toBe(CloseCode.Draining);
    await tcp.end();
    await harness.comet.releases.idle();
    expect(harness.logic.routes.size).toBe(0);
    await harness.stop();
  });
});
