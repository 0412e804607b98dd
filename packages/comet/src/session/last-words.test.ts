import { once } from 'node:events';
import type { Socket } from 'node:net';
import { connect as connectTls } from 'node:tls';

import { afterEach, beforeEach, describe, expect, test } from '@jest/globals';
import { CloseCode } from '@halley/protocol/close-code';
import { HalleyError } from '@halley/protocol/error';
import { encodeFrames, type Frame } from '@halley/protocol/frame';

import { outgoing } from '../delivery/outgoing.js';
import { TEST_CERT, TEST_KEY } from '../testing/certificate.js';
import { CometHarness, until } from '../testing/harness.js';
import { frame, type TcpClient, WsClient } from '../testing/test-client.js';
import { Leavers } from './leavers.js';

const NUMBERS = Array.from({ length: 20 }, (_, i) => `${i}`);
const WORDS: readonly Frame[] = NUMBERS.map((text, i) => frame(4, text, i));
const AUTH = frame(7, '{"mid":1,"key":"k","room_id":"r","accepts":[5]}', 99);
const BAD_HEADER = Buffer.from('00000010001100010000000400000001', 'hex');

const socketOf = (client: WsClient): Socket => (client.ws as unknown as { _socket: Socket })._socket;

describe.each(['tcp', 'ws'] as const)('what a client said over %s before it went', (transport) => {
  let harness: CometHarness;
  let letGo: () => void;
  const open = (): Promise<TcpClient | WsClient> => harness[transport]();
  /** From now on logic answers nothing until `letGo`. */
  const hold = (): void => {
    harness.logic.gate = new Promise<void>((resolve) => {
      letGo = resolve;
    });
  };
  /** Ends the client's side, after what it sent. */
  const leave = (client: TcpClient | WsClient): void => {
    if (client instanceof WsClient) client.ws.close(4_000, 'bye');
    else client.socket.end();
  };
  /** Without a word: the kernel tells it at once. */
  const cutOff = (client: TcpClient | WsClient): void => {
    const socket = client instanceof WsClient ? socketOf(client) : client.socket;
    socket.resetAndDestroy();
  };
  const handedOver = (): string[] =>
    harness.logic.received.map(({ frame: { body } }) => Buffer.from(body).toString());
  const nothingIsLeft = async (): Promise<void> => {
    await until(async () => (await harness.metric('halley_comet_connections')) === 0);
    await harness.comet.releases.idle();
    expect(harness.logic.routes.size).toBe(0);
    expect(harness.comet.table.size).toBe(0);
    expect(harness.comet.rooms.size).toBe(0);
    expect(harness.comet.leavers.size).toBe(0);
    expect(harness.comet.counter.open).toBe(0);
    expect(harness.comet.counter.addresses).toBe(0);
  };

  beforeEach(async () => {
    harness = await CometHarness.start({ leaveRoomAfterMs: 10 });
  });
  afterEach(async () => {
    letGo?.();
    await harness.stop();
  });

  test('is handed over and answered, in order, when it ends its side behind it', async () => {
    const client = await open();
    hold();
    client.send(AUTH, ...WORDS);
    leave(client);
    await until(() => harness.logic.calls.includes('connect'));
    // Its end has come too, long ahead of what logic answers.
    await new Promise((resolve) => setTimeout(resolve, 50));
    letGo();
    expect(await client.next()).toMatchObject({ op: 8, seq: 99 });
    for (const { seq } of WORDS) expect(await client.next()).toMatchObject({ op: 4, seq });
    expect(await client.end()).toEqual(
      transport === 'ws' ? { code: 4_000, reason: 'bye' } : { code: 0, reason: 'closed' },
    );
    expect(handedOver()).toEqual(NUMBERS);
    await nothingIsLeft();
  });

  test('is handed over when it is cut off while it authenticates; its route goes, and it is never in the tables', async () => {
    const client = await open();
    hold();
    client.send(AUTH, ...WORDS);
    await until(() => harness.logic.calls.includes('connect'));
    // What follows the auth has been read.
    await new Promise((resolve) => setTimeout(resolve, 50));
    cutOff(client);
    await until(() => harness.comet.leavers.size === 1);
    const added = harness.comet.table.add.bind(harness.comet.table);
    let adds = 0;
    harness.comet.table.add = (...entry) => {
      adds += 1;
      return added(...entry);
    };
    letGo();
    await until(() => handedOver().length === WORDS.length);
    expect(handedOver()).toEqual(NUMBERS);
    await nothingIsLeft();
    expect(adds).toBe(0);
    expect(harness.logic.received[0]).toMatchObject({ mid: '1', key: 'k', roomId: 'r' });
    expect(await harness.metric('halley_comet_handshakes_total', { result: 'abandoned' })).toBe(1);
  });

  test('is not handed over when its token turns out bad', async () => {
    const client = await open();
    hold();
    client.send(frame(7, 'no json'), ...WORDS);
    await until(() => harness.logic.calls.includes('connect'));
    await new Promise((resolve) => setTimeout(resolve, 50));
    client.close();
    letGo();
    await nothingIsLeft();
    expect(handedOver()).toEqual([]);
  });

  test('is handed over when it is cut off while a message is on its way: out of the tables at once', async () => {
    const client = await open();
    await client.auth({ mid: 1, key: 'k', room_id: 'r', accepts: [5] });
    hold();
    client.send(...WORDS.slice(0, 10), frame(2), frame(12, 'other'), frame(14, '1'), ...WORDS.slice(10));
    await until(() => harness.logic.calls.includes('receive 0'));
    await new Promise((resolve) => setTimeout(resolve, 50));
    cutOff(client);
    await until(() => harness.logic.calls.includes('disconnect k'));
    expect([harness.comet.table.size, harness.comet.rooms.size]).toEqual([0, 0]);
    harness.comet.deliverer.toKeys(['k'], outgoing(5, Buffer.from('nobody')));
    letGo();
    await until(() => handedOver().length === WORDS.length);
    expect(handedOver()).toEqual(NUMBERS);
    expect(harness.logic.received.map(({ roomId }) => roomId)).toEqual(
      NUMBERS.map((_, i) => (i < 10 ? 'r' : 'other')),
    );
    await nothingIsLeft();
  });

  test('ends where a message cannot be written', async () => {
    const client = await open();
    await client.auth({ mid: 1, key: 'k' });
    hold();
    client.send(...WORDS);
    await until(() => harness.logic.calls.includes('receive 0'));
    await new Promise((resolve) => setTimeout(resolve, 50));
    cutOff(client);
    await until(() => harness.logic.calls.includes('disconnect k'));
    const receive = harness.logic.receive.bind(harness.logic);
    harness.logic.receive = (ask) =>
      Buffer.from(ask.frame.body).toString() === '3'
        ? Promise.reject(new HalleyError('bus_refused'))
        : receive(ask);
    letGo();
    await nothingIsLeft();
    expect(handedOver()).toEqual(['0', '1', '2']);
  });

  test('comes ahead of the close for a malformed frame behind it', async () => {
    const client = await open();
    hold();
    if (client instanceof WsClient) {
      client.send(AUTH, ...WORDS.slice(0, 19));
      client.ws.send(Buffer.concat([encodeFrames(WORDS.slice(19)), BAD_HEADER, encodeFrames(WORDS)]));
      client.send(...WORDS);
    } else {
      client.write(Buffer.concat([encodeFrames([AUTH, ...WORDS]), BAD_HEADER, encodeFrames(WORDS)]));
    }
    await until(() => harness.logic.calls.includes('connect'));
    await new Promise((resolve) => setTimeout(resolve, 50));
    letGo();
    expect(await client.next()).toMatchObject({ op: 8 });
    for (const { seq } of WORDS) expect(await client.next()).toMatchObject({ op: 4, seq });
    expect(await client.end()).toEqual(
      transport === 'ws'
        ? { code: CloseCode.BadFrame, reason: 'headerLen is 17, not 16.' }
        : { code: 0, reason: 'closed' },
    );
    expect(client.frames).toEqual([]);
    expect(handedOver()).toEqual(NUMBERS);
    client.close();
    await nothingIsLeft();
  });

  test('is dropped when the connection is taken over, and when the node stops', async () => {
    const old = await open();
    await old.auth({ mid: 1, key: 'k' });
    const gone = await open();
    await gone.auth({ mid: 2, key: 'other' });
    hold();
    old.send(...WORDS);
    gone.send(...WORDS);
    await until(() => harness.logic.calls.filter((call) => call === 'receive 0').length === 2);
    await new Promise((resolve) => setTimeout(resolve, 50));
    cutOff(gone);
    await until(() => harness.comet.leavers.size === 1);
    harness.comet.table.get('k' as never)?.close(CloseCode.TakenOver, 'The key connected again.');
    harness.comet.closeAll(CloseCode.Draining, 'The node is stopping.');
    letGo();
    await old.end();
    await nothingIsLeft();
    expect(handedOver()).toEqual(['0', '0']);
  });

  test('is dropped where too many leave at once', async () => {
    harness.comet.leavers.tryAdd = () => false;
    const client = await open();
    await client.auth({ mid: 1, key: 'k' });
    hold();
    client.send(...WORDS);
    await until(() => harness.logic.calls.includes('receive 0'));
    await new Promise((resolve) => setTimeout(resolve, 50));
    cutOff(client);
    await until(() => harness.logic.calls.includes('disconnect k'));
    letGo();
    await nothingIsLeft();
    expect(handedOver()).toEqual(['0']);
  });
});

test('TLS tells the end of a side like TCP', async () => {
  const harness = await CometHarness.start({ tls: { cert: TEST_CERT, key: TEST_KEY } });
  const socket = connectTls({
    port: harness.comet.boundPorts.tls ?? 0,
    ca: TEST_CERT,
    servername: 'localhost',
  });
  await once(socket, 'secureConnect');
  let bytes = 0;
  socket.on('data', (chunk: Buffer) => {
    bytes += chunk.length;
  });
  socket.end(encodeFrames([AUTH, ...WORDS]));
  await once(socket, 'close');
  expect(harness.logic.received).toHaveLength(WORDS.length);
  // The answer to the auth, and to each message.
  expect(bytes).toBe(16 * (1 + WORDS.length));
  await harness.stop();
});

test('what was read of a paused socket that is cut off counts too', async () => {
  const harness = await CometHarness.start();
  let letGo = (): void => undefined;
  const client = await harness.tcpOf({ mid: 1, key: 'k' });
  harness.logic.gate = new Promise<void>((resolve) => {
    letGo = resolve;
  });
  // Each in a chunk of its own: the second pauses the socket, the others wait in it.
  for (const word of WORDS) {
    client.send(word);
    await new Promise((resolve) => setTimeout(resolve, 5));
  }
  client.socket.resetAndDestroy();
  await until(() => harness.comet.leavers.size === 1);
  letGo();
  await until(() => harness.comet.leavers.size === 0);
  expect(harness.logic.received).toHaveLength(WORDS.length);
  await harness.stop();
});

test('so many may leave at once', () => {
  const leavers = new Leavers(1);
  const [one, two] = [{} as never, {} as never];
  expect([leavers.tryAdd(one), leavers.tryAdd(two), leavers.size]).toEqual([true, false, 1]);
  leavers.delete(one);
  expect(leavers.tryAdd(two)).toBe(true);
});
