import { createServer as createHttpServer } from 'node:http';
import { createServer } from 'node:net';

import { Server, ServerCredentials, type ServerReadableStream } from '@grpc/grpc-js';
import { WebSocketServer } from 'ws';

import { DELIVER, listen, runNode } from './node.js';
import { unpack } from './packed.js';

/**
 * The bare comet: lets everybody in, and writes a user's pushes to its socket. No session, no outbox, no limits, nothing that is
 * slow or wrong is looked after.
 */
const HEAD_BYTES = 16;
const HEARTBEAT = 2;
const HEARTBEAT_REPLY = 3;
const AUTH = 7;
const AUTH_REPLY = 8;
const NOTHING = Buffer.alloc(0);

type Write = (bytes: Buffer) => void;

const users = new Map<number, Write>();

function frame(operation: number, seq: number, body: Buffer): Buffer {
  const out = Buffer.allocUnsafe(HEAD_BYTES + body.length);
  out.writeUInt32BE(out.length, 0);
  out.writeUInt32BE(HEAD_BYTES * 65_536 + 1, 4);
  out.writeUInt32BE(operation, 8);
  out.writeUInt32BE(seq, 12);
  body.copy(out, HEAD_BYTES);
  return out;
}

/** Of one connection. */
class Connection {
  #read: Buffer = NOTHING;
  #mid = 0;

  constructor(private readonly write: Write) {}

  take(chunk: Buffer): void {
    this.#read = this.#read.length === 0 ? chunk : Buffer.concat([this.#read, chunk]);
    while (this.#read.length >= HEAD_BYTES && this.#read.length >= this.#read.readUInt32BE(0)) {
      const length = Math.max(HEAD_BYTES, this.#read.readUInt32BE(0));
      this.#on(this.#read.subarray(0, length));
      this.#read = this.#read.length === length ? NOTHING : this.#read.subarray(length);
    }
  }

  end(): void {
    if (users.get(this.#mid) === this.write) users.delete(this.#mid);
  }

  #on(bytes: Buffer): void {
    const [operation, seq] = [bytes.readUInt32BE(8), bytes.readUInt32BE(12)];
    if (operation === HEARTBEAT) this.write(frame(HEARTBEAT_REPLY, seq, NOTHING));
    if (operation !== AUTH) return;
    const { mid } = JSON.parse(bytes.toString('utf8', HEAD_BYTES)) as { readonly mid: number };
    this.#mid = mid;
    users.set(mid, this.write);
    this.write(frame(AUTH_REPLY, seq, NOTHING));
  }
}

const tcp = createServer({ noDelay: true }, (socket) => {
  const connection = new Connection((bytes) => void socket.write(bytes));
  socket.on('data', (chunk: Buffer) => connection.take(chunk));
  socket.on('error', () => socket.destroy());
  socket.once('close', () => connection.end());
});

const http = createHttpServer();
new WebSocketServer({ server: http, perMessageDeflate: false }).on('connection', (socket) => {
  const connection = new Connection((bytes) => socket.send(bytes));
  socket.on('message', (data: Buffer) => connection.take(data));
  socket.on('error', () => socket.terminate());
  socket.once('close', () => connection.end());
});

const grpc = new Server({ 'grpc.max_receive_message_length': -1 });
grpc.addService(DELIVER, {
  Deliver: (call: ServerReadableStream<Buffer, Buffer>, done: (error: null, reply: Buffer) => void) => {
    call.on('data', (bytes: Buffer) =>
      unpack(bytes, ({ mid, operation, body }) => users.get(mid)?.(frame(operation, 0, body))),
    );
    call.once('end', () => done(null, NOTHING));
    // The job has ended.
    call.on('error', () => undefined);
  },
});

await runNode(async () => ({
  ports: {
    tcp: await listen(tcp),
    ws: await listen(http),
    grpc: await new Promise<number>((resolve, reject) =>
      grpc.bindAsync('127.0.0.1:0', ServerCredentials.createInsecure(), (error, port) =>
        error ? reject(error) : resolve(port),
      ),
    ),
  },
}));
