import { connect as connectTcp, type Socket } from 'node:net';
import { connect as connectTls } from 'node:tls';

import { decodeMessage, FrameDecoder } from '@halley/protocol/decoder';
import type { Frame } from '@halley/protocol/frame';
import { Operation } from '@halley/protocol/operation';
import { WebSocket } from 'ws';

import type { ClientAddress } from './client-address.js';

/** The largest push is 1 MiB; a batch glues several. */
const MAX_BODY_BYTES = 64 * 1_048_576;

/** How a connection ended. */
export interface WireEnd {
  /** WebSocket close code; absent on TCP and when the connection just broke. */
  readonly code?: number;
  /** In words. */
  readonly reason: string;
}

export interface WireHandlers {
  onOpen(): void;
  /** Whole frames, with op 9 taken apart. */
  onFrames(frames: readonly Frame[]): void;
  /** Called once. */
  onEnd(end: WireEnd): void;
}

/** A connection that frames go over. */
export interface Wire {
  send(frame: Uint8Array): void;
  /** Takes nothing from the network any more, until `resume`. */
  pause(): void;
  resume(): void;
  /** Ends it; `onEnd` is called when it has. */
  close(reason: string): void;
}

/** Connects. `ca` are the certificates to trust with TLS, when not the system's. */
export function openWire(address: ClientAddress, handlers: WireHandlers, ca?: Buffer): Wire {
  return address.transport === 'tcp'
    ? openTcp(address, handlers, ca)
    : openWebSocket(address.url, handlers, ca);
}

function openTcp(
  { host, port, tls }: Extract<ClientAddress, { transport: 'tcp' }>,
  handlers: WireHandlers,
  ca: Buffer | undefined,
): Wire {
  const decoder = new FrameDecoder({ maxBodyBytes: MAX_BODY_BYTES });
  const socket: Socket = tls
    ? connectTls({ host, port, ...(ca ? { ca } : {}) }, () => handlers.onOpen())
    : connectTcp({ host, port, noDelay: true }, () => handlers.onOpen());
  let reason = 'the server closed the connection';
  socket.on('data', (chunk: Buffer) => {
    try {
      handlers.onFrames(decoder.push(chunk));
    } catch (error) {
      reason = `the server sent what is no frame: ${(error as Error).message}`;
      socket.destroy();
    }
  });
  socket.on('error', (error) => {
    reason = error.message;
  });
  socket.once('close', () => handlers.onEnd({ reason }));
  return {
    send: (frame) => void socket.write(frame),
    pause: () => void socket.pause(),
    resume: () => void socket.resume(),
    close: (why) => {
      reason = why;
      socket.destroy();
    },
  };
}

function openWebSocket(url: string, handlers: WireHandlers, ca: Buffer | undefined): Wire {
  const socket = new WebSocket(url, {
    maxPayload: MAX_BODY_BYTES,
    handshakeTimeout: 10_000,
    ...(ca ? { ca } : {}),
  });
  let own: string | undefined;
  socket.on('open', () => handlers.onOpen());
  socket.on('message', (data: Buffer) => {
    try {
      handlers.onFrames(decodeMessage(data, { maxBodyBytes: MAX_BODY_BYTES }).flatMap(unpack));
    } catch (error) {
      own = `the server sent what is no frame: ${(error as Error).message}`;
      socket.terminate();
    }
  });
  socket.on('error', (error) => {
    own ??= error.message;
  });
  socket.once('close', (code, text) => {
    const reason = own ?? (text.length > 0 ? text.toString() : 'the server closed the connection');
    // 1005 and 1006 are never sent: there was no code.
    handlers.onEnd(own !== undefined || code === 1005 || code === 1006 ? { reason } : { code, reason });
  });
  return {
    send: (frame) => {
      if (socket.readyState === WebSocket.OPEN) socket.send(frame);
    },
    pause: () => socket.pause(),
    resume: () => socket.resume(),
    close: (why) => {
      own = why;
      // Else the answer to the close is not read.
      socket.resume();
      socket.close(1000);
      setTimeout(() => socket.terminate(), 500).unref();
    },
  };
}

function unpack(frame: Frame): Frame[] {
  return frame.op === Operation.Raw ? decodeMessage(frame.body, { maxBodyBytes: MAX_BODY_BYTES }) : [frame];
}
