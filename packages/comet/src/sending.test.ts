import { once } from 'node:events';
import { connect, type Socket } from 'node:net';

import { CloseCode } from '@halley/protocol/close-code';
import { FrameDecoder } from '@halley/protocol/decoder';
import { encodeFrame } from '@halley/protocol/frame';
import type { ConnectionKey } from '@halley/protocol/ids';
import { Operation } from '@halley/protocol/operation';
import { afterEach, beforeEach, describe, expect, test } from '@jest/globals';

import { outgoing } from './delivery/outgoing.js';
import { CometHarness, until } from './testing/harness.js';
import { frame, type TestClient } from './testing/test-client.js';

/** What a client was pushed; answers to what it asked are left out. */
function pushesOf({ frames }: TestClient): string[] {
  return frames
    .filter(({ op }) => op === 1_000 || op === 1_001)
    .map(({ body }) => Buffer.from(body).toString());
}

interface Member {
  readonly socket: Socket;
  readonly texts: string[];
}

/** Reads a little of what waits. */
async function sip(socket: Socket): Promise<void> {
  const came = once(socket, 'data');
  socket.resume();
  await came;
  socket.pause();
}

/** What the fan-out writes beneath sockets, and without the native loop through them, has to come out the same. */
describe.each([
  ['native', undefined],
  [`by Node's sockets (HALLEY_NATIVE=off)`, 'off'],
])('sending %s', (sending, native) => {
  let harness: CometHarness;

  beforeEach(async () => {
    if (native === undefined) delete process.env['HALLEY_NATIVE'];
    else process.env['HALLEY_NATIVE'] = native;
    harness = await CometHarness.start();
  });
  afterEach(() => harness.stop());

  const turn = (): Promise<void> => new Promise((resolve) => setImmediate(resolve));
  const toRoom = (room: string, text: string | Buffer): void =>
    harness.comet.deliverer.toRoom(room, outgoing(1_000, Buffer.from(text)));

  /** A bare client in a room, which keeps what it gets. */
  async function member(mid: number, room: string): Promise<Member> {
    const socket = connect(harness.comet.boundPorts.tcp, '127.0.0.1');
    const decoder = new FrameDecoder({ maxBodyBytes: 1_000_000 });
    const texts: string[] = [];
    socket.on('error', () => undefined);
    await once(socket, 'connect');
    const body = Buffer.from(JSON.stringify({ mid, key: `k${mid}`, room_id: room, accepts: [1_000] }));
    socket.write(encodeFrame({ ver: 1, op: Operation.Auth, seq: 0, body }));
    let online = (): void => undefined;
    const authenticated = new Promise<void>((resolve) => (online = resolve));
    socket.on('data', (chunk: Buffer) => {
      for (const frame of decoder.push(chunk)) {
        if (frame.op === Operation.AuthReply) online();
        else texts.push(Buffer.from(frame.body).toString());
      }
    });
    await authenticated;
    return { socket, texts };
  }

  test('the node says which way it is', () => {
    expect(harness.comet.sending).toBe(sending);
  });

  test('a room of TCP and WebSocket, versions 1 and 2, gets every message once and in order', async () => {
    const token = (mid: number) => ({ mid, key: `k${mid}`, room_id: 'a://1', accepts: [1_000] });
    const tcp = await Promise.all(Array.from({ length: 12 }, (_, i) => harness.tcpOf(token(1 + i))));
    const ws = await Promise.all(Array.from({ length: 12 }, (_, i) => harness.wsOf(token(101 + i))));
    const v2 = await harness.version2(token(201), {}, 'ws');
    const sse = harness.http('sse', token(301));
    await until(() => harness.comet.table.size === 26);
    const sent: string[] = [];
    for (let number = 1; number <= 40; number += 1) {
      sent.push(`m${number}`);
      toRoom('a://1', `m${number}`);
      // What a client is answered mixes with what the room gets.
      if (number % 8 === 0) for (const client of [...tcp, ...ws]) client.send(frame(Operation.Heartbeat));
      if (number % 3 === 0) await turn();
    }
    for (const client of [...tcp, ...ws, sse]) {
      await until(() => pushesOf(client).length >= sent.length);
      expect(pushesOf(client)).toEqual(sent);
    }
    expect(await v2.entries(sent.length)).toEqual(sent.map((text) => `0 1000:${text}`));
    expect(await harness.metric('halley_comet_messages_out_total', { kind: 'room' })).toBe(26 * sent.length);
  });

  test('who reads slowly gets what the kernel did not take, whole and in order, or none of it', async () => {
    const members = await Promise.all(Array.from({ length: 16 }, (_, i) => member(1 + i, 'a://1')));
    const slow = members[0] as Member;
    const sent = Array.from({ length: 120 }, (_, i) => `${i} `.padEnd(80_000 + 997 * (i % 40), 'x'));
    slow.socket.pause();
    for (const [index, text] of sent.entries()) {
      toRoom('a://1', text);
      await turn();
      // Room comes in the kernel before what waits at comet has gone.
      if (index % 3 === 0) await sip(slow.socket);
    }
    for (const { texts } of members.slice(1)) {
      await until(() => texts.length === sent.length, 10_000);
      expect(texts).toEqual(sent);
    }
    slow.socket.resume();
    const last = (): number => slow.texts.length;
    for (let seen = -1; seen !== last(); await new Promise((resolve) => setTimeout(resolve, 50)))
      seen = last();
    // What its outbox did not take was dropped whole.
    expect(last()).toBeGreaterThanOrEqual(20);
    expect(last()).toBeLessThan(sent.length);
    const numbers = slow.texts.map((text) => sent.indexOf(text));
    expect(numbers).not.toContain(-1);
    expect(numbers).toEqual(numbers.toSorted((a, b) => a - b));
    expect(new Set(numbers).size).toBe(numbers.length);
  });

  test('a descriptor that is another client’s by now gets nothing that was meant for the one before', async () => {
    const leaving: Member[] = [];
    for (let i = 0; i < 40; i += 1) leaving.push(await member(1 + i, 'a://leaving'));
    const next: { readonly socket: Socket; bytes: number }[] = [];
    for (const { socket } of leaving.slice(20)) {
      // The end of the one and the beginning of the other reach comet together, and then the room's message is sent.
      await turn();
      socket.resetAndDestroy();
      const one = { socket: connect(harness.comet.boundPorts.tcp, '127.0.0.1'), bytes: 0 };
      one.socket.on('data', (chunk: Buffer) => (one.bytes += chunk.length));
      one.socket.on('error', () => undefined);
      next.push(one);
      await new Promise((resolve) => process.nextTick(resolve));
      toRoom('a://leaving', 'leaving');
      const untilMs = performance.now() + 3;
      while (performance.now() < untilMs);
    }
    await until(() => leaving[0]?.texts.length === 20);
    await until(() => harness.comet.counter.sockets === 40);
    expect(leaving[19]?.texts).toEqual(Array.from({ length: 20 }, () => 'leaving'));
    expect(next.map(({ bytes }) => bytes)).toEqual(next.map(() => 0));
    for (const { socket } of next) socket.destroy();
  });

  test('messages of its own that one gets in one tick come in order, with what its room gets, and ahead of its end', async () => {
    const token = (mid: number) => ({ mid, key: `k${mid}`, room_id: 'a://1', accepts: [1_000] });
    const clients = [
      ...(await Promise.all(Array.from({ length: 20 }, (_, i) => harness.tcpOf(token(1 + i))))),
      ...(await Promise.all(Array.from({ length: 20 }, (_, i) => harness.wsOf(token(101 + i))))),
    ];
    const keys = [...harness.comet.table.sessions()].map((session) => session.deviceKey);
    const own = (text: string): void =>
      harness.comet.deliverer.toKeys(keys, outgoing(1_000, Buffer.from(text)));
    own('a');
    own('b'.repeat(20_000));
    toRoom('a://1', 'c');
    await turn();
    await turn();
    own('d');
    harness.comet.closeAll(CloseCode.Kicked, 'Enough.');
    for (const client of clients) {
      await client.end();
      expect(pushesOf(client)).toEqual(['a', 'b'.repeat(20_000), 'c', 'd']);
    }
  });

  test('who waits until all has left is told by the socket, not by a later look', async () => {
    const { texts } = await member(1, 'r');
    const outbox = harness.comet.table.get('k1' as ConnectionKey)!.outbox;
    const drained = new Promise<void>((resolve) => {
      outbox.owner = { onDrained: resolve, onFrozen: () => undefined };
    });
    const body = Buffer.alloc(200_000, 'x');
    outbox.offerJoined(encodeFrame({ ver: 1, op: 1_000, seq: 0, body }));
    outbox.tellDrained();
    await drained;
    expect(outbox.bufferedBytes).toBe(0);
    await until(() => texts.length === 1);
  });

  test('everyone gets what it accepts, whatever the others do', async () => {
    const clients = await Promise.all(
      Array.from({ length: 30 }, (_, i) =>
        harness.tcpOf({ mid: 1 + i, key: `k${i}`, accepts: i % 3 === 0 ? [1_000] : [1_001, 1_000 + i] }),
      ),
    );
    harness.comet.deliverer.toEveryone(outgoing(1_000, Buffer.from('thousand')), 0);
    harness.comet.deliverer.toEveryone(outgoing(1_001, Buffer.from('and one')), 0);
    await until(() => clients.every((client) => pushesOf(client).length === 1));
    expect(clients.map((client) => pushesOf(client)[0])).toEqual(
      clients.map((_, i) => (i % 3 === 0 ? 'thousand' : 'and one')),
    );
  });
});
