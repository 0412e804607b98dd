import { deflateRawSync } from 'node:zlib';

import { Close, Deliver } from '@halley/protocol/client/bodies';
import { encodeFrame, pushFrame } from '@halley/protocol/frame';
import { encodeFrameV2, FrameFlag, frameV2 } from '@halley/protocol/frame-v2';
import { Operation, OperationV2 } from '@halley/protocol/operation';
import { describe, expect, test } from '@jest/globals';

import { FakeClock, settled } from '../testing/fake-clock.js';
import { AUTH_REPLY, FakeServer } from '../testing/fake-server.js';
import { connectedRig, entryAt, makeRig, positionsOf, type Rig } from '../testing/harness.js';

const INBOX = { stream: 'u/7', epoch: 'e1' };
const names = ({ states }: Rig): readonly string[] => states.map(({ name }) => name);
const codes = ({ errors }: Rig): readonly string[] => errors.map(({ code }) => code);

describe('connecting', () => {
  test('goes from idle over connecting to connected', async () => {
    const rig = makeRig();
    expect(rig.client.state).toEqual({ name: 'idle' });
    await rig.client.connect();
    expect(rig.states).toEqual([
      { name: 'connecting', attempt: 1 },
      { name: 'connected', address: 'ws://a:1', version: 2, key: 'phone' },
    ]);
  });

  test('asks for version 2 with the cursor, the start and the wishes', async () => {
    const rig = await connectedRig({ start: 'newest', checksum: true, deflate: false });
    expect(rig.server.last.auth).toMatchObject({ version: 2, start: 2, checksum: true, deflate: false });
  });

  test('a server that is not there is waited for, longer each time, with full jitter', async () => {
    const rig = makeRig();
    rig.server.down.add('ws://a:1');
    rig.client.connect().catch(() => undefined);
    await settled();
    const waits: number[] = [];
    for (let turn = 0; turn < 12; turn += 1) {
      const { state } = rig.client;
      if (state.name !== 'waiting') throw new Error(state.name);
      waits.push(state.untilMs - rig.clock.now());
      await rig.clock.advance(state.untilMs - rig.clock.now());
    }
    // Chance is the middle: half of 1 s × 1.8^n, at most half of 60 s.
    expect(waits.slice(0, 4)).toEqual([500, 900, 1_620, 2_916]);
    expect(waits.at(-1)).toBe(30_000);
  });

  test('retryNow does not wait', async () => {
    const rig = makeRig();
    rig.server.down.add('ws://a:1');
    const connected = rig.client.connect();
    await settled();
    expect(rig.client.state.name).toBe('waiting');
    rig.server.down.clear();
    rig.client.retryNow();
    await connected;
  });

  test('an answer that does not come is not waited for', async () => {
    const rig = makeRig({ handshakeTimeoutMs: 2_000 });
    rig.server.onAuth = () => undefined;
    rig.client.connect().catch(() => undefined);
    await rig.clock.advance(2_000);
    expect(rig.client.state).toMatchObject({ name: 'waiting', reason: { code: 'handshake_timeout' } });
    expect(rig.server.last.ended).toBe(true);
  });

  test('a token that the server does not take ends it', async () => {
    const rig = makeRig();
    rig.server.onAuth = (connection) => {
      connection.cut(3500, 'No.');
      return undefined;
    };
    await expect(rig.client.connect()).rejects.toMatchObject({ code: 'bad_token', closeCode: 3500 });
    expect(rig.client.state.name).toBe('closed');
    expect(codes(rig)).toEqual(['bad_token']);
    await expect(rig.client.send({ operation: 1, body: '' })).rejects.toMatchObject({ code: 'closed' });
  });

  test('a store that can not be read rejects', async () => {
    const rig = makeRig({ store: { load: () => Promise.reject(new Error('gone')), set: () => undefined } });
    await expect(rig.client.connect()).rejects.toMatchObject({ code: 'store_failed', message: 'gone' });
  });

  test('another address is asked when one is not there', async () => {
    const server = new FakeServer();
    server.down.add('ws://b:1');
    const rig = makeRig({ server, addresses: ['ws://a:1', 'ws://b:1', 'ws://c:1'] });
    server.down.add('ws://a:1');
    const connected = rig.client.connect();
    await rig.clock.advance(3_000);
    await connected;
    expect(rig.server.connections.map(({ address }) => address)).toEqual([
      'ws://a:1',
      'ws://b:1',
      'ws://c:1',
    ]);
  });

  test('nodes are asked ahead of each attempt, and the last answer counts when they fail', async () => {
    let asked = 0;
    const nodes = (): readonly string[] => {
      asked += 1;
      if (asked > 1) throw new Error('away');
      return ['ws://x:1'];
    };
    const rig = await connectedRig({ addresses: [], nodes });
    rig.server.last.cut();
    await rig.clock.advance(1_000);
    expect(rig.server.connections.map(({ address }) => address)).toEqual(['ws://x:1', 'ws://x:1']);
    expect(asked).toBe(2);
  });

  test.each(['nodes', 'token'])('%s that never answer are not waited for', async (name) => {
    const never = { [name]: () => new Promise<never>(() => undefined) };
    const rig = makeRig({ ...never, handshakeTimeoutMs: 2_000 });
    rig.client.connect().catch(() => undefined);
    await rig.clock.advance(2_000);
    expect(rig.client.state).toMatchObject({ name: 'waiting', reason: { code: 'timed_out' } });
  });

  test('without any address it waits and asks again', async () => {
    const rig = makeRig({ addresses: [] });
    rig.client.connect().catch(() => undefined);
    await settled();
    expect(rig.client.state).toMatchObject({ name: 'waiting', reason: { code: 'no_address' } });
  });
});

describe('a connection that ends', () => {
  test('is followed by another one', async () => {
    const rig = await connectedRig();
    rig.server.last.cut(1006);
    await rig.clock.advance(500);
    expect(names(rig)).toEqual(['connecting', 'connected', 'waiting', 'connecting', 'connected']);
    expect(rig.states[2]).toMatchObject({ reason: { code: 'connection_lost', temporary: true } });
  });

  test.each([3000, 3006, 3008, 3499])('with %i is followed by another one', async (code) => {
    const rig = await connectedRig();
    rig.server.last.cut(code);
    await rig.clock.advance(500);
    expect(rig.client.state.name).toBe('connected');
  });

  test.each([
    [3500, 'bad_token'],
    [3503, 'taken_over'],
    [3999, 'closed_by_server'],
  ])('with %i is the last', async (code, name) => {
    const rig = await connectedRig();
    await rig.clock.advance(120_000);
    rig.server.last.cut(code);
    await rig.clock.advance(100_000);
    expect(rig.client.state).toMatchObject({ name: 'closed', reason: { code: name, closeCode: code } });
    expect(rig.clock.pending).toBe(0);
  });

  const TAKEN_OVER = { name: 'closed', reason: { code: 'taken_over' } };

  /** Another connection by the same key, a few times: each is followed by an attempt of ours. */
  async function takenOver(rig: Rig, times: number): Promise<void> {
    for (let time = 0; time < times; time += 1) {
      rig.server.last.cut(3503);
      await settled();
      expect(rig.client.state.name).toBe('waiting');
      await connectedAgain(rig);
    }
  }

  async function connectedAgain({ client, clock }: Rig): Promise<void> {
    for (let seconds = 0; client.state.name !== 'connected' && seconds < 30; seconds += 1)
      await clock.advance(1_000);
    expect(client.state.name).toBe('connected');
  }

  test('soon after the start because of the same key is followed by another one: an earlier run may have asked', async () => {
    const rig = await connectedRig();
    await takenOver(rig, 4);
    rig.server.last.cut(3503);
    await settled();
    expect(rig.client.state).toMatchObject(TAKEN_OVER);
  });

  test('on its way, soon after the start, because of the same key is followed by another one', async () => {
    const rig = makeRig();
    const answer = rig.server.onAuth;
    rig.server.onAuth = () => undefined;
    const connected = rig.client.connect();
    await settled();
    rig.server.last.cut(3503);
    rig.server.onAuth = answer;
    await rig.clock.advance(1_000);
    await connected;
    expect(rig.client.state.name).toBe('connected');
  });

  test.each([
    ['was given up', undefined],
    ['its node gave up', 3003],
  ])('because an attempt that %s was let in after all is followed by another one', async (_, code) => {
    const rig = await connectedRig({ addresses: ['ws://a:1', 'ws://b:1'], handshakeTimeoutMs: 2_000 });
    await rig.clock.advance(120_000);
    const answer = rig.server.onAuth;
    rig.server.onAuth = () => undefined;
    rig.server.last.cut();
    await rig.clock.advance(1_000);
    if (code !== undefined) rig.server.last.cut(code);
    else await rig.clock.advance(1_500);
    rig.server.onAuth = answer;
    await connectedAgain(rig);
    // The first node asks each of several who may let it in.
    await takenOver(rig, 4);
    rig.server.last.cut(3503);
    await settled();
    expect(rig.client.state).toMatchObject(TAKEN_OVER);
  });

  test('because of the same key is the last, long after an attempt that was given up', async () => {
    const rig = makeRig({ addresses: ['ws://a:1', 'ws://b:1'], handshakeTimeoutMs: 2_000 });
    const answer = rig.server.onAuth;
    rig.server.onAuth = () => undefined;
    const connected = rig.client.connect();
    await rig.clock.advance(2_000);
    rig.server.onAuth = answer;
    await rig.clock.advance(1_000);
    await connected;
    await rig.clock.advance(120_000);
    rig.server.last.cut(3503);
    await settled();
    expect(rig.client.state).toMatchObject(TAKEN_OVER);
  });

  test('by a Close with a time is not followed sooner', async () => {
    const rig = await connectedRig();
    const close = { code: 3000, text: 'drains', reconnect: true, reconnectAfterMs: 7_000 };
    rig.server.last.send(OperationV2.Close, Close, close);
    await settled();
    expect(rig.client.state).toMatchObject({
      name: 'waiting',
      reason: { code: 'draining', message: 'drains' },
    });
    await rig.clock.advance(7_499);
    expect(rig.server.connections).toHaveLength(1);
    await rig.clock.advance(1);
    expect(rig.server.connections).toHaveLength(2);
  });

  test('by a Close that says so is the last, whatever its code', async () => {
    const rig = await connectedRig();
    rig.server.last.send(OperationV2.Close, Close, { code: 3007, text: 'kicked', reconnect: false });
    await settled();
    expect(rig.client.state).toMatchObject({ name: 'closed', reason: { code: 'kicked' } });
  });

  test('because its token expired is the last unless there is somebody to ask for another', async () => {
    const rig = await connectedRig();
    rig.server.last.cut(3009);
    await settled();
    expect(rig.client.state).toMatchObject({ name: 'closed', reason: { code: 'token_expired' } });
    const asking = await connectedRig({ token: () => '{"mid":7}' });
    asking.server.last.cut(3009);
    await asking.clock.advance(500);
    expect(asking.client.state.name).toBe('connected');
  });

  test('attempts count on until one connection has held', async () => {
    const rig = await connectedRig();
    for (const waitMs of [500, 900, 1_620]) {
      rig.server.last.cut();
      await settled();
      expect(rig.client.state).toMatchObject({ untilMs: rig.clock.now() + waitMs });
      await rig.clock.advance(waitMs);
    }
    await rig.clock.advance(10_000);
    rig.server.last.cut();
    await settled();
    expect(rig.client.state).toMatchObject({ untilMs: rig.clock.now() + 500 });
  });

  test('by bytes that are no frames is followed by another one', async () => {
    const rig = await connectedRig();
    rig.server.last.raw(new Uint8Array(20));
    await rig.clock.advance(500);
    expect(rig.states[2]).toMatchObject({ name: 'waiting', reason: { code: 'bad_frame' } });
    expect(rig.client.state.name).toBe('connected');
  });

  test('a key that the server made up is asked for again', async () => {
    const rig = await connectedRig({ token: '{"mid":9223372036854775807}' });
    rig.server.last.cut();
    await rig.clock.advance(500);
    const [first, second] = rig.server.connections.map(({ auth }) => new TextDecoder().decode(auth?.token));
    expect(first).not.toContain('phone');
    expect(second).toContain('"mid":9223372036854775807,"key":"phone"}');
  });

  test('closed by the application is the last', async () => {
    const rig = await connectedRig();
    rig.client.close();
    await rig.clock.advance(100_000);
    expect(rig.client.state).toEqual({ name: 'closed' });
    expect(rig.server.last.ended).toBe(true);
    expect(rig.clock.pending).toBe(0);
    await expect(rig.client.connect()).rejects.toMatchObject({ code: 'closed' });
  });
});

describe('heartbeats', () => {
  test('are sent as often as asked for, at most as rarely as the server says', async () => {
    const rig = await connectedRig({ heartbeatMs: 50_000 });
    await rig.clock.advance(100_000);
    expect(rig.server.last.of(Operation.Heartbeat)).toHaveLength(2);
    const other = makeRig({ heartbeatMs: 50_000 });
    other.server.onAuth = () => ({ ...AUTH_REPLY, heartbeatMs: 10_000 });
    await other.client.connect();
    await other.clock.advance(100_000);
    expect(other.server.last.of(Operation.Heartbeat)).toHaveLength(10);
  });

  test('without an answer, or anything else, end the connection', async () => {
    const rig = await connectedRig();
    rig.server.last.silent = true;
    await rig.clock.advance(69_999);
    expect(rig.client.state.name).toBe('connected');
    await rig.clock.advance(1);
    expect(rig.client.state).toMatchObject({ name: 'waiting', reason: { code: 'heartbeat_timeout' } });
  });

  test('whatever is heard is a sign of life', async () => {
    const rig = await connectedRig();
    rig.server.last.silent = true;
    await rig.clock.advance(65_000);
    rig.server.last.deliver({ ...INBOX, after: -1, through: 1 });
    await rig.clock.advance(10_000);
    expect(rig.client.state.name).toBe('connected');
  });
});

describe('a server of version 1', () => {
  test('is told as an error; pushes come as messages that are not kept, requests are refused', async () => {
    const server = new FakeServer();
    server.version1 = true;
    const rig = await connectedRig({ server });
    expect(rig.client.state).toMatchObject({ name: 'connected', version: 1 });
    expect(codes(rig)).toEqual(['version_unsupported']);
    server.last.raw(encodeFrame(pushFrame(1_000, new Uint8Array([1]))));
    const glued = encodeFrame(pushFrame(1_001, new Uint8Array([2])));
    server.last.raw(encodeFrame({ ver: 1, op: Operation.Raw, seq: 0, body: glued }));
    await settled();
    expect(rig.messages.map(({ operation, body, epoch }) => [operation, [...body], epoch])).toEqual([
      [1_000, [1], ''],
      [1_001, [2], ''],
    ]);
    const refused = { code: 'version_unsupported', outcome: 'refused' };
    await expect(rig.client.send({ toMid: 8, operation: 1_000, body: 'x' })).rejects.toMatchObject(refused);
    await expect(rig.client.join('a')).rejects.toMatchObject(refused);
    await rig.clock.advance(60_000);
    expect(server.last.of(Operation.Heartbeat)).toHaveLength(1);
  });
});

test('compressed bodies are inflated, and frames stay in order', async () => {
  const rig = await connectedRig({ clock: new FakeClock() });
  const body = Deliver.encode({ ...INBOX, after: -1, entries: [entryAt(3)], through: 3 });
  rig.server.last.raw(
    encodeFrameV2(frameV2(OperationV2.Deliver, 0, deflateRawSync(body), FrameFlag.Deflated)),
  );
  rig.server.last.deliver({ ...INBOX, after: 3, entries: [entryAt(4)], through: 4 });
  // Inflating takes turns on other threads.
  while (rig.messages.length < 2) await new Promise((resolve) => setTimeout(resolve, 5));
  expect(rig.states.slice(2)).toEqual([]);
  expect(positionsOf(rig)).toEqual([3, 4]);
});
