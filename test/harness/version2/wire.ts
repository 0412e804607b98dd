import { connect } from 'node:net';

import { WebSocket, type RawData } from 'ws';

import type { Closed, Transport } from '../goim-client.js';
import { HttpWire } from '../http-wire.js';
import type { Target } from '../target.js';
import { MAX_PUSH_BODY_BYTES } from '../tcp-client.js';
import { isHttp } from '../transports.js';

/** What a wire tells: bytes as they come, a message each on WebSocket, and the end. */
export interface WireEvents {
  onBytes(bytes: Buffer): void;
  onBreach(what: string): void;
  onClosed(closed: Closed): void;
}

/** Bytes to and from a server, over any transport. */
export interface Wire {
  /** On WebSocket one binary message, over HTTP one POST. */
  send(bytes: Uint8Array): void;
  /** Ends the client's side behind what was sent: the server may still answer. On WebSocket it starts the closing handshake. */
  endSide(): void;
  /** Cuts the connection off. */
  close(): void;
}

/** Connects. */
export function openWire(transport: Transport, target: Target, events: WireEvents): Promise<Wire> {
  if (isHttp(transport)) return Promise.resolve(new HttpWire(transport, target.ws, events));
  return transport === 'tcp' ? openTcp(target.tcp, events) : openWebSocket(target.ws, events);
}

async function openTcp(address: string, events: WireEvents): Promise<Wire> {
  const colon = address.lastIndexOf(':');
  const socket = connect({
    host: address.slice(0, colon),
    port: Number(address.slice(colon + 1)),
    noDelay: true,
  });
  await new Promise<void>((resolve, reject) => {
    socket.once('connect', resolve).once('error', reject);
  });
  socket.on('data', (bytes) => events.onBytes(bytes));
  // A reset is an end too; `close` follows.
  socket.on('error', () => undefined);
  socket.on('close', () => events.onClosed({ code: undefined, reason: '' }));
  return {
    send: (bytes) => void socket.write(bytes),
    endSide: () => void socket.end(),
    close: () => void socket.destroy(),
  };
}

async function openWebSocket(url: string, events: WireEvents): Promise<Wire> {
  const socket = new WebSocket(url, { perMessageDeflate: false, maxPayload: MAX_PUSH_BODY_BYTES * 2 });
  await new Promise<void>((resolve, reject) => {
    socket.once('open', resolve).once('error', reject);
  });
  socket.on('message', (data: RawData, isBinary: boolean) => {
    if (!isBinary) events.onBreach('a text message');
    events.onBytes(data as Buffer);
  });
  socket.on('error', () => undefined);
  socket.on('close', (code, reason) => events.onClosed({ code, reason: reason.toString() }));
  return {
    send: (bytes) => socket.send(bytes, { binary: true }),
    endSide: () => socket.close(1_000),
    close: () => socket.terminate(),
  };
}
