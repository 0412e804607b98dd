import { readAuth, type AuthRequest } from '@halley/protocol/client/auth';
import {
  AuthReply,
  BODIES,
  Deliver,
  RoomsReply,
  SendReply,
  type RoomsRequest,
} from '@halley/protocol/client/bodies';
import { encodeMessageFrame } from '@halley/protocol/client/encode';
import type { Fields, Message, WriteFields } from '@halley/protocol/client/message';
import { FrameDecoder } from '@halley/protocol/decoder';
import { encodeFrame, replyFrame, type Frame } from '@halley/protocol/frame';
import { Operation, OperationV2 } from '@halley/protocol/operation';

import type { OpenTransport, TransportEvents, TransportName } from '../transport/transport.js';

/** What a request says: the message of its operation. */
export interface Received {
  readonly op: number;
  readonly seq: number;
  readonly value: Readonly<Record<string, unknown>>;
}

type Handler = (connection: FakeConnection, received: Received) => void;

/** What auth is answered with, unless a test says otherwise. */
export const AUTH_REPLY = {
  mid: '7',
  key: 'phone',
  heartbeatMs: 240_000,
  inbox: { stream: 'u/7', epoch: 'e1', position: -1 },
  maxClientBodyBytes: 4_096,
  maxServerBodyBytes: 1_048_576,
  windowEntries: 64,
  windowBytes: 65_536,
  maxRooms: 100,
  maxWatched: 100,
  nowMs: 5_000_000,
} as WriteFields<typeof AuthReply.fields>;

/** Comets of version 2 in memory, which do what a test tells them. */
export class FakeServer {
  /** All connections so far, the oldest first. */
  readonly connections: FakeConnection[] = [];
  /** Addresses where nobody answers. */
  readonly down = new Set<string>();
  /** Transports that a proxy refuses. */
  readonly refused = new Set<TransportName>();
  /** Transports of which a proxy lets up everything, and down nothing. */
  readonly swallowed = new Set<TransportName>();
  /** What auth is answered with; undefined is no answer. */
  onAuth: (
    connection: FakeConnection,
    auth: AuthRequest,
  ) => WriteFields<typeof AuthReply.fields> | undefined = () => AUTH_REPLY;
  /** By operation: instead of what is answered by itself. */
  readonly handlers = new Map<number, Handler>([
    [OperationV2.Rooms, joinAll],
    [OperationV2.Send, takeAll],
  ]);
  /** Answers auth with a short frame, as a server of version 1 does. */
  version1 = false;

  readonly openTransport: OpenTransport = (address, events, name = 'websocket') => {
    const connection = new FakeConnection(address, name, events, this);
    this.connections.push(connection);
    queueMicrotask(() => {
      if (this.down.has(address) || this.refused.has(name)) connection.cut();
      else events.opened();
    });
    return { send: (bytes) => connection.take(bytes), close: () => connection.cut() };
  };

  /** The newest connection. */
  get last(): FakeConnection {
    const last = this.connections.at(-1);
    if (!last) throw new Error('Nobody has connected.');
    return last;
  }
}

/** The server's side of one connection. */
export class FakeConnection {
  /** What the client sent, auth and heartbeats too. */
  readonly received: Received[] = [];
  auth: AuthRequest | undefined;
  ended = false;
  /** Answers no heartbeats. */
  silent = false;
  readonly #decoder = new FrameDecoder({ version2: true });

  constructor(
    readonly address: string,
    readonly transport: TransportName,
    private readonly events: TransportEvents,
    private readonly server: FakeServer,
  ) {}

  /** The messages of one operation. */
  of(op: number): readonly Received[] {
    return this.received.filter((received) => received.op === op);
  }

  send<F extends Fields>(
    op: number,
    message: Message<F>,
    value: WriteFields<F>,
    seq = 0,
    flags = this.auth?.checksum ? 1 : 0,
  ): void {
    this.raw(encodeMessageFrame(op, seq, message, value, flags));
  }

  deliver(frame: WriteFields<typeof Deliver.fields>): void {
    this.send(OperationV2.Deliver, Deliver, frame);
  }

  /** Sends bytes as they are. */
  raw(bytes: Uint8Array): void {
    queueMicrotask(() => {
      if (!this.ended && !this.server.swallowed.has(this.transport)) this.events.received(bytes);
    });
  }

  /** Ends the connection, with the code of a close frame if there is one. */
  cut(code?: number, text = ''): void {
    if (this.ended) return;
    queueMicrotask(() => {
      if (this.ended) return;
      this.ended = true;
      this.events.closed(code, text);
    });
  }

  take(bytes: Uint8Array): void {
    if (this.ended) return;
    for (const frame of this.#decoder.push(bytes)) this.#handle(frame);
  }

  #handle(frame: Frame): void {
    const { op, seq } = frame;
    if (op === Operation.Auth) {
      this.received.push({ op, seq, value: {} });
      return this.#answerAuth(frame);
    }
    const message = BODIES[op as keyof typeof BODIES] as Message<Fields> | undefined;
    const received = { op, seq, value: message?.decode(frame.body) ?? {} };
    this.received.push(received);
    if (op === Operation.Heartbeat && !this.silent) {
      this.raw(encodeFrame(replyFrame(frame, Operation.HeartbeatReply, new Uint8Array(4))));
    }
    this.server.handlers.get(op)?.(this, received);
  }

  #answerAuth(frame: Frame): void {
    this.auth = readAuth(frame.body);
    if (this.server.version1) return this.raw(encodeFrame(replyFrame(frame, Operation.AuthReply)));
    const reply = this.server.onAuth(this, this.auth);
    if (reply) this.send(Operation.AuthReply, AuthReply, { checksum: this.auth.checksum, ...reply });
  }
}

/** Every room is granted, and kept. */
function joinAll(connection: FakeConnection, { seq, value }: Received): void {
  const { join, leave } = value as unknown as RoomsRequest;
  const answers = [
    ...join.map(({ room, epoch, position }) => ({
      room,
      durable: true,
      epoch: epoch || 'e1',
      position: position ?? -1,
    })),
    ...leave.map((room) => ({ room })),
  ];
  connection.send(OperationV2.RoomsReply, RoomsReply, { answers }, seq);
}

/** Every message is taken. */
function takeAll(connection: FakeConnection, { seq, value }: Received): void {
  connection.send(OperationV2.SendReply, SendReply, { id: `id-${String(value['clientId'])}` }, seq);
}
