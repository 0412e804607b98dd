import { afterEach, beforeEach, describe, expect, test } from '@jest/globals';
import { CloseCode } from '@halley/protocol/close-code';
import { HalleyError } from '@halley/protocol/error';
import { encodeFrame, readInt32 } from '@halley/protocol/frame';

import { outgoing } from '../delivery/outgoing.js';
import { CometHarness, until } from '../testing/harness.js';
import { frame, type TcpClient, WsClient } from '../testing/test-client.js';

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

  test('is echoed a subscribe above 4,096 operations, which is counted and changes nothing', async () => {
    const client = await openAs({ mid: 1, key: 'k', accepts: [9_999] });
    const some = (from: number): string => Array.from({ length: 650 }, (_, i) => from + i).join(',');
    const bodies = [10_000, 11_000, 12_000, 13_000, 14_000, 15_000, 16_000].map(some);
    client.send(...bodies.map((body, seq) => frame(14, body, seq)));
    for (const body of bodies) expect(text((await client.next()).body)).toBe(body);
    const accepts = harness.comet.table.get('k' as never)?.accepts;
    expect(accepts?.size).toBe(3_901);
    expect([9_999, 15_649, 16_000].map((op) => accepts?.has(op))).toEqual([true, true, false]);
    expect(await harness.metric('halley_comet_subscribes_refused_total')).toBe(1);
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
