import { inflateRawSync } from 'node:zlib';

import { type AuthWishes, writeAuth } from '@halley/protocol/client/auth';
import {
  Ack,
  AuthReply,
  BODIES,
  Close,
  type Cursor,
  Deliver,
  ErrorBody,
  type RoomJoin,
  RoomsReply,
  RoomsRequest,
} from '@halley/protocol/client/bodies';
import { plainFrame } from '@halley/protocol/client/compression';
import type { Fields, Message, Read, ReadFields, Write } from '@halley/protocol/client/message';
import { decodeMessage, FrameDecoder } from '@halley/protocol/decoder';
import { encodeFrame, type Frame } from '@halley/protocol/frame';
import { encodeFrameV2, frameV2, isFrameV2, VERSION_2 } from '@halley/protocol/frame-v2';
import { Operation, OperationV2 } from '@halley/protocol/operation';

import type { Closed, Transport } from '../goim-client.js';
import type { Target } from '../target.js';
import { within } from '../within.js';
import { DeliveryJudge } from './delivery-judge.js';
import { openWire, type Wire } from './wire.js';

/** A frame as it came; its body is inflated. */
export interface Arrived extends Frame {
  /** As on the wire; undefined in goim's frame. */
  readonly flags?: number;
  /** Its place among all frames of the connection, from 0. */
  readonly index: number;
}

/** An entry with what its frame says of it. */
export type Shown = Deliver['entries'][number] & { readonly stream: string; readonly epoch: string };

const DEFAULT_TIMEOUT_MS = 10_000;
const MAX_BODY_BYTES = 16 * 1024 * 1024;

/**
 * A client of version 2 as plain as can be, on the protocol's own tables: it shows every frame, and notes in `breaches` what
 * the server must not have sent, of which every test wants to find none.
 */
export class Version2Client {
  readonly breaches: string[] = [];
  /** What came, as bytes. */
  readonly raw: Buffer[] = [];
  readonly closed: Promise<Closed>;
  /** Acknowledge each frame as it comes. */
  acknowledging = false;
  /** What 8 said. */
  auth!: AuthReply;
  readonly #decoder = new FrameDecoder({ maxBodyBytes: MAX_BODY_BYTES, version2: true });
  readonly #judge = new DeliveryJudge((what) => this.breaches.push(what));
  readonly #arrived: Arrived[] = [];
  /** What each unanswered 24 asks to leave, by seq. */
  readonly #leaving = new Map<number, readonly string[]>();
  #wire!: Wire;
  #count = 0;
  #seq = 100;
  #isVersion2 = false;
  #isClosed = false;
  #last: Arrived | undefined;
  #wake: () => void = () => undefined;
  #resolveClosed: (closed: Closed) => void = () => undefined;

  private constructor(readonly transport: Transport) {
    this.closed = new Promise((resolve) => {
      this.#resolveClosed = resolve;
    });
  }

  static async connect(transport: Transport, target: Target): Promise<Version2Client> {
    const client = new Version2Client(transport);
    client.#wire = await openWire(transport, target, {
      onBytes: (bytes) => client.#receive(bytes),
      onBreach: (what) => client.breaches.push(what),
      onClosed: (closed) => client.#ended(closed),
    });
    return client;
  }

  /** Asks for version 2 with this token; the answer must be 8 in the long frame. */
  async open(token: string, wishes: AuthWishes = {}): Promise<this> {
    await this.authenticate(writeAuth(token, wishes));
    return this;
  }

  /** The same with the whole body of 7. */
  async authenticate(body: Uint8Array): Promise<AuthReply> {
    this.sendGoim(Operation.Auth, body, 7);
    const reply = await this.next();
    if (reply.op !== Operation.AuthReply || reply.seq !== 7 || !isFrameV2(reply))
      throw new Error(`the auth was answered with ${describe(reply)}`);
    this.auth = AuthReply.decode(reply.body);
    return this.auth;
  }

  sendBytes(bytes: Uint8Array): void {
    this.#wire.send(bytes);
  }

  /** A frame with goim's header. */
  sendGoim(op: number, body: Uint8Array | string = '', seq = 0): void {
    this.sendBytes(encodeFrame({ ver: 1, op, seq, body: Buffer.from(body) }));
  }

  /** A frame with the long header; answers its seq. */
  sendRaw(op: number, body: Uint8Array | string = '', { flags = 0, seq = this.nextSeq() } = {}): number {
    this.sendBytes(encodeFrameV2(frameV2(op, seq, Buffer.from(body), flags)));
    return seq;
  }

  /** A message; answers its seq. */
  send<F extends Fields>(
    op: number,
    message: Message<F>,
    value: Write<Message<F>>,
    seq = this.nextSeq(),
  ): number {
    return this.sendRaw(op, message.encode(value), { seq });
  }

  /** Sends a request and waits for its reply, which must be of this operation. */
  async ask<F extends Fields, G extends Fields>(
    [op, message]: readonly [number, Message<F>],
    value: Write<Message<F>>,
    [replyOp, reply]: readonly [number, Message<G>],
  ): Promise<ReadFields<G>> {
    return this.reply(this.send(op, message, value), replyOp, reply);
  }

  /** The body of the reply with this seq. */
  async reply<G extends Fields>(seq: number, op: number, message: Message<G>): Promise<ReadFields<G>> {
    const frame = await this.replyFrame(seq);
    if (frame.op !== op) throw new Error(`${op} was awaited, ${describe(frame)} came`);
    return message.decode(frame.body);
  }

  /** The frame with this seq. */
  replyFrame(seq: number): Promise<Arrived> {
    return this.take((frame) => frame.seq === seq, `a reply with seq ${seq}`);
  }

  /** What 39 says of the request with this seq. */
  refusal(seq: number): Promise<ErrorBody> {
    return this.reply(seq, OperationV2.Error, ErrorBody);
  }

  /** Sends a request that must be refused. */
  async refused<F extends Fields>(
    [op, message]: readonly [number, Message<F>],
    value: Write<Message<F>>,
  ): Promise<ErrorBody> {
    return this.refusal(this.send(op, message, value));
  }

  /** Joins and leaves rooms. */
  async rooms(
    join: readonly (string | Write<typeof RoomJoin>)[],
    leave: readonly string[] = [],
  ): Promise<Read<typeof RoomsReply>['answers']> {
    const joins = join.map((room) => (typeof room === 'string' ? { room } : room));
    const seq = this.nextSeq();
    this.#leaving.set(seq, leave);
    this.send(OperationV2.Rooms, RoomsRequest, { join: joins, leave }, seq);
    return (await this.reply(seq, OperationV2.RoomsReply, RoomsReply)).answers;
  }

  /** Acknowledges, and keeps the judge informed. */
  ack(...cursors: readonly Cursor[]): number {
    for (const cursor of cursors) this.#judge.acked(cursor);
    return this.send(OperationV2.Ack, Ack, { cursors });
  }

  /** The count that a heartbeat is answered with. */
  async heartbeat(): Promise<number> {
    const { op, body } = await this.replyFrame(this.sendRaw(Operation.Heartbeat));
    if (op !== Operation.HeartbeatReply || body.length !== 4)
      throw new Error('the heartbeat was not answered with 3');
    return Buffer.from(body).readInt32BE();
  }

  /** The next frame, whatever it is. */
  next(timeoutMs?: number): Promise<Arrived> {
    return this.take(() => true, 'a frame', timeoutMs);
  }

  /** The first frame that is one of these, taken out; those ahead of it stay. */
  async take(
    isWanted: (frame: Arrived) => boolean,
    what: string,
    timeoutMs = DEFAULT_TIMEOUT_MS,
  ): Promise<Arrived> {
    const until = performance.now() + timeoutMs;
    for (;;) {
      const index = this.#arrived.findIndex(isWanted);
      if (index >= 0) return this.#arrived.splice(index, 1)[0] as Arrived;
      if (this.#isClosed) throw new Error(`${what}: the connection is closed, ${this.#rest()}`);
      const arrival = new Promise<void>((resolve) => {
        this.#wake = resolve;
      });
      await within(arrival, Math.max(1, until - performance.now()), () => `no ${what}; ${this.#rest()}`);
    }
  }

  /** The next frame of this operation that answers nothing. */
  async told<G extends Fields>(op: number, message: Message<G>, timeoutMs?: number): Promise<ReadFields<G>> {
    const frame = await this.take((one) => one.op === op && one.seq === 0, `${op} with seq 0`, timeoutMs);
    return message.decode(frame.body);
  }

  /** The next frame of a stream, with or without entries. */
  async delivered(stream: string): Promise<Deliver & Pick<Arrived, 'flags' | 'index'>> {
    const { body, flags, index } = await this.take(
      (frame) => frame.op === OperationV2.Deliver && Deliver.decode(frame.body).stream === stream,
      `frame of ${stream}`,
    );
    return { ...Deliver.decode(body), index, ...(flags === undefined ? {} : { flags }) };
  }

  /** The next entries of a stream, whatever frames they come in. */
  async shown(stream: string, count: number): Promise<Shown[]> {
    const shown: Shown[] = [];
    while (shown.length < count) {
      const frame = await this.delivered(stream).catch((error: unknown) => {
        throw new Error(`${shown.length} of ${count} entries of ${stream} came`, { cause: error });
      });
      shown.push(...frame.entries.map((entry) => ({ ...entry, stream, epoch: frame.epoch })));
    }
    return shown;
  }

  /** Their texts. */
  async texts(stream: string, count: number): Promise<string[]> {
    return (await this.shown(stream, count)).map(textOf);
  }

  /** Texts of a stream up to this one. */
  async textsUntil(stream: string, last: string): Promise<string[]> {
    const texts: string[] = [];
    while (!texts.includes(last)) texts.push(...(await this.texts(stream, 1)));
    return texts;
  }

  /** Entries of a stream that came and nobody has taken. */
  entriesWaiting(stream: string): number {
    const frames = this.#arrived
      .filter(({ op }) => op === OperationV2.Deliver)
      .map(({ body }) => Deliver.decode(body));
    return frames
      .filter((frame) => frame.stream === stream)
      .reduce((sum, { entries }) => sum + entries.length, 0);
  }

  /** Frames that came and nobody has taken. */
  get waiting(): readonly Arrived[] {
    return this.#arrived;
  }

  /** How the connection ended, with what the last frame said, if that was 30. */
  async end(timeoutMs = DEFAULT_TIMEOUT_MS): Promise<Closed & { readonly last: Close | undefined }> {
    const closed = await within(
      this.closed,
      timeoutMs,
      () => `${this.transport} connection not closed; ${this.#rest()}`,
    );
    const last = this.#last?.op === OperationV2.Close ? Close.decode(this.#last.body) : undefined;
    return { ...closed, last };
  }

  get isClosed(): boolean {
    return this.#isClosed;
  }

  endSide(): void {
    this.#wire.endSide();
  }

  close(): void {
    this.#wire.close();
  }

  nextSeq(): number {
    this.#seq += 1;
    return this.#seq;
  }

  #receive(bytes: Buffer): void {
    this.raw.push(bytes);
    try {
      const frames =
        this.transport === 'tcp'
          ? this.#decoder.push(bytes)
          : decodeMessage(bytes, { maxBodyBytes: MAX_BODY_BYTES, version2: true });
      for (const frame of frames) this.#arrive(frame);
    } catch (error) {
      this.breaches.push(String(error));
      this.close();
    }
    this.#wake();
  }

  #arrive(frame: Frame): void {
    const plain = plainFrame(
      frame,
      (deflated, maxOutputLength) => inflateRawSync(deflated, { maxOutputLength }),
      MAX_BODY_BYTES,
    );
    const arrived: Arrived = {
      ...plain,
      body: Buffer.from(plain.body),
      ...(frame.flags === undefined ? {} : { flags: frame.flags }),
      index: this.#count,
    };
    this.#count += 1;
    this.#arrived.push(arrived);
    if (this.#last?.op === OperationV2.Close && isFrameV2(this.#last))
      this.breaches.push('a frame behind 30');
    this.#last = arrived;
    if (isFrameV2(arrived)) this.#check(arrived);
    else if (this.#isVersion2) this.breaches.push(`goim's frame: ${describe(arrived)}`);
  }

  #check({ ver, op, seq, body }: Arrived): void {
    this.#isVersion2 = true;
    if (ver !== VERSION_2) this.breaches.push(`version ${ver} in the long frame`);
    switch (op) {
      case Operation.AuthReply:
        this.#judge.opened(AuthReply.decode(body));
        break;
      case OperationV2.Deliver: {
        const frame = Deliver.decode(body);
        this.#judge.delivered(frame);
        const { stream, epoch, through: position } = frame;
        if (this.acknowledging && epoch !== '') this.ack({ stream, epoch, position });
        break;
      }
      case OperationV2.RoomsReply: {
        const leaving = this.#leaving.get(seq) ?? [];
        const { answers } = RoomsReply.decode(body);
        const joins = answers.slice(0, answers.length - leaving.length);
        for (const room of leaving) this.#judge.left(room);
        for (const answer of joins) if (!answer.error) this.#judge.joined(answer);
        break;
      }
      case Operation.Raw:
        this.breaches.push('operation 9');
        break;
      default:
        // What is no message of its operation throws.
        (BODIES as Readonly<Record<number, Message<Fields>>>)[op]?.decode(body);
    }
  }

  #ended(closed: Closed): void {
    this.#isClosed = true;
    this.#resolveClosed(closed);
    this.#wake();
  }

  #rest(): string {
    return `waiting: ${this.#arrived.map(describe).join(', ') || 'nothing'}`.slice(0, 2_000);
  }
}

/** The body of an entry as text. */
export function textOf({ body }: { readonly body: Uint8Array }): string {
  return Buffer.from(body).toString();
}

function describe({ op, seq, body, flags }: Frame): string {
  const message = flags === undefined ? undefined : (BODIES as Readonly<Record<number, Message<Fields>>>)[op];
  const text = message ? JSON.stringify(message.decode(body)) : Buffer.from(body).toString();
  return `${op} (${seq}) ${text}`;
}
