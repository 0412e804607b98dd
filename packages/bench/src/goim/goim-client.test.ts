import { EventEmitter, once } from 'node:events';
import { createServer, type AddressInfo, type Server, type Socket } from 'node:net';

import { afterEach, describe, expect, test } from '@jest/globals';
import { FrameDecoder } from '@halley/protocol/decoder';
import {
  encodeFrame,
  encodeFrames,
  encodeRaw,
  type Frame,
  pushFrame,
  replyFrame,
} from '@halley/protocol/frame';
import { Operation } from '@halley/protocol/operation';
import { WebSocketServer } from 'ws';

import { clientAddress } from './client-address.js';
import { type ClientEnd, GoimClient } from './goim-client.js';

const closing: (() => void)[] = [];
afterEach(() => {
  for (const close of closing.splice(0)) close();
});

interface Client {
  readonly client: GoimClient;
  readonly messages: string[];
  readonly connected: Promise<void>;
  readonly end: Promise<ClientEnd>;
}

function connect(address: string, heartbeatMs = 60_000): Client {
  const messages: string[] = [];
  const events = new EventEmitter();
  const connected = once(events, 'connected').then(() => undefined);
  const end = once(events, 'end').then(([told]) => told as ClientEnd);
  const client = new GoimClient({
    address: clientAddress(address, undefined),
    token: '{"mid":1}',
    heartbeatMs,
    onConnected: () => events.emit('connected'),
    onMessage: (frame) => messages.push(`${frame.op} ${Buffer.from(frame.body).toString()}`),
    onEnd: (told) => events.emit('end', told),
  });
  return { client, messages, connected, end };
}

/** A TCP server that hands every frame to `onFrame`. */
async function tcpServer(onFrame: (frame: Frame, socket: Socket) => void): Promise<string> {
  const server: Server = createServer((socket) => {
    const decoder = new FrameDecoder();
    socket.on('error', () => undefined);
    socket.on('data', (chunk) => {
      for (const frame of decoder.push(chunk)) onFrame(frame, socket);
    });
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  closing.push(() => server.close());
  return `tcp://127.0.0.1:${(server.address() as AddressInfo).port}`;
}

describe('over TCP', () => {
  test('it authenticates first, then takes pushes', async () => {
    let token = '';
    const address = await tcpServer((frame, socket) => {
      token = Buffer.from(frame.body).toString();
      socket.write(encodeFrame(replyFrame(frame, Operation.AuthReply)));
      socket.write(encodeFrames([pushFrame(1000, Buffer.from('a')), pushFrame(1000, Buffer.from('b'))]));
      socket.end();
    });
    const { messages, connected, end } = connect(address);
    await connected;
    expect((await end).reached).toBe('session');
    expect(token).toBe('{"mid":1}');
    expect(messages).toEqual(['1000 a', '1000 b']);
  });

  test('it sends heartbeats and gives up without an answer to one', async () => {
    const ops: number[] = [];
    const address = await tcpServer((frame, socket) => {
      ops.push(frame.op);
      if (frame.op === Operation.Auth) socket.write(encodeFrame(replyFrame(frame, Operation.AuthReply)));
      else if (ops.length === 2)
        socket.write(encodeFrame(replyFrame(frame, Operation.HeartbeatReply, Buffer.alloc(4))));
    });
    const { end, messages } = connect(address, 20);
    expect(await end).toEqual({ reached: 'session', reason: 'no answer to a heartbeat' });
    expect(ops).toEqual([Operation.Auth, Operation.Heartbeat, Operation.Heartbeat]);
    expect(messages).toEqual([]);
  });

  test('a connection that ends before the auth reply did not reach a session', async () => {
    const address = await tcpServer((_frame, socket) => socket.destroy());
    expect((await connect(address).end).reached).toBe('server');
  });

  test('nobody there is told with the cause', async () => {
    const end = await connect('tcp://127.0.0.1:1').end;
    expect(end.reached).toBe('nothing');
    expect(end.reason).toContain('ECONNREFUSED');
  });

  test('what is no frame ends the connection', async () => {
    const address = await tcpServer((_frame, socket) => socket.write(Buffer.alloc(16)));
    expect((await connect(address).end).reason).toContain('no frame');
  });
});

describe('over WebSocket', () => {
  async function webSocketServer(
    onOpen: (send: (bytes: Uint8Array) => void, close: (code: number, text: string) => void) => void,
  ) {
    const server = new WebSocketServer({ host: '127.0.0.1', port: 0, path: '/sub' });
    server.on('connection', (socket) => {
      socket.once('message', () =>
        onOpen(
          (bytes) => socket.send(bytes),
          (code, text) => socket.close(code, text),
        ),
      );
    });
    await new Promise((resolve) => server.once('listening', resolve));
    closing.push(() => server.close());
    return `ws://127.0.0.1:${(server.address() as AddressInfo).port}`;
  }

  const authReply = encodeFrame({ ver: 1, op: Operation.AuthReply, seq: 1, body: Buffer.alloc(0) });

  test('op 9 is taken apart', async () => {
    const address = await webSocketServer((send, close) => {
      send(authReply);
      send(encodeRaw([pushFrame(1000, Buffer.from('a')), pushFrame(1001, Buffer.from('b'))]));
      close(3000, 'draining');
    });
    const { messages, end } = connect(address);
    expect(await end).toEqual({ reached: 'session', code: 3000, reason: 'draining' });
    expect(messages).toEqual(['1000 a', '1001 b']);
  });

  test('closing says why to the caller', async () => {
    const address = await webSocketServer((send) => send(authReply));
    const { client, connected, end } = connect(address);
    await connected;
    client.close('stopped');
    expect(await end).toEqual({ reached: 'session', reason: 'stopped' });
  });
});
