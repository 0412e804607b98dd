import { afterEach, beforeEach, describe, expect, test } from '@jest/globals';
import { CloseCode } from '@halley/protocol/close-code';
import { HalleyError } from '@halley/protocol/error';
import { readInt32 } from '@halley/protocol/frame';

import { outgoing } from './delivery/outgoing.js';
import { CometHarness, until } from './testing/harness.js';
import { frame } from './testing/test-client.js';

describe('the load', () => {
  let harness: CometHarness | undefined;
  afterEach(() => harness?.stop());

  test('counts who is online and their addresses at one moment', async () => {
    harness = await CometHarness.start();
    const { comet } = harness;
    await harness.tcp();
    expect(comet.load).toEqual({ connections: 0, ips: 0 });
    await harness.wsOf({ mid: 1, key: 'a' });
    await harness.tcpOf({ mid: 1, key: 'b' });
    await harness.tcpOf({ mid: 1, key: 'a' });
    expect(comet.load).toEqual({ connections: 2, ips: 1 });
    // Their sockets are still there, which are counted for the limits.
    comet.closeAll(CloseCode.Draining, 'bye');
    expect(comet.load).toEqual({ connections: 0, ips: 0 });
    expect(comet.counter.addresses).toBe(1);
    await harness.tcpOf({ mid: 1, key: 'a' });
    expect(comet.load).toEqual({ connections: 1, ips: 1 });
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
