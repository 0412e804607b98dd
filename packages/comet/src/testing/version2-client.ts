import { type AuthWishes, writeAuth } from '@halley/protocol/client/auth';
import { Ack, AuthReply, BODIES, Deliver, ErrorBody } from '@halley/protocol/client/bodies';
import { plainFrame } from '@halley/protocol/client/compression';
import type { Fields, Message, ReadFields, Write } from '@halley/protocol/client/message';
import type { Frame } from '@halley/protocol/frame';
import { frameV2 } from '@halley/protocol/frame-v2';
import { Operation, OperationV2 } from '@halley/protocol/operation';
import { inflateRaw } from '@halley/service/raw-deflate';

import type { HttpClient } from './http-client.js';
import { type Ended, frame, type TcpClient, type WsClient } from './test-client.js';

/** An entry as the tests compare it: `position operation:text`. */
export type EntryText = string;

/** A client of the tests that speaks version 2. */
export class Version2Client {
  #seq = 100;
  auth!: AuthReply;

  constructor(readonly wire: TcpClient | WsClient | HttpClient) {}

  /** Authenticates; the answer must be 8. */
  async open(token: object, wishes: AuthWishes = {}): Promise<this> {
    this.wire.send(frame(Operation.Auth, writeAuth(JSON.stringify(token), wishes), 7));
    return this.answered();
  }

  /** Waits for the answer to what it opened with. */
  async answered(): Promise<this> {
    this.auth = await this.reply(Operation.AuthReply, AuthReply);
    return this;
  }

  /** Sends a frame with this body, and answers its seq. */
  raw(op: number, body: Uint8Array, flags = 0): number {
    this.#seq += 1;
    this.wire.send(frameV2(op, this.#seq, body, flags));
    return this.#seq;
  }

  /** Sends a request, and answers its seq. */
  request<F extends Fields>(op: number, message: Message<F>, value: Write<Message<F>>): number {
    return this.raw(op, message.encode(value));
  }

  ack(stream: string, epoch: string, position: number): void {
    this.request(OperationV2.Ack, Ack, { cursors: [{ stream, epoch, position }] });
  }

  /** The next frame, inflated. */
  async next(): Promise<Frame> {
    return plainFrame(await this.wire.next(), inflateRaw, 16 * 1024 * 1024);
  }

  /** The body of the next frame, which must be of this operation. */
  async reply<F extends Fields>(op: number, message: Message<F>, seq?: number): Promise<ReadFields<F>> {
    const next = await this.next();
    if (next.op !== op || (seq !== undefined && next.seq !== seq)) throw new Error(describe(next));
    return message.decode(next.body);
  }

  /** Sends a request and answers the body of its reply. */
  async ask<F extends Fields, G extends Fields>(
    op: number,
    message: Message<F>,
    value: Write<Message<F>>,
    replyOp: number,
    reply: Message<G>,
  ): Promise<ReadFields<G>> {
    return this.reply(replyOp, reply, this.request(op, message, value));
  }

  /** The next frame must be an error; its code. */
  async refusal(seq?: number): Promise<string> {
    return (await this.reply(OperationV2.Error, ErrorBody, seq)).code;
  }

  async delivered(): Promise<Deliver> {
    return this.reply(OperationV2.Deliver, Deliver);
  }

  /** The next entries, whatever frames they come in. */
  async entries(count: number): Promise<EntryText[]> {
    const texts: EntryText[] = [];
    while (texts.length < count) {
      const { entries } = await this.delivered();
      texts.push(
        ...entries.map(
          ({ position, operation, body }) => `${position} ${operation}:${Buffer.from(body).toString()}`,
        ),
      );
    }
    return texts;
  }

  /** Frames that came and nobody has taken; the heartbeat's answer comes behind all. */
  async rest(): Promise<string[]> {
    this.raw(Operation.Heartbeat, new Uint8Array(0));
    const rest: string[] = [];
    for (;;) {
      const next = await this.next();
      if (next.op === Operation.HeartbeatReply) return rest;
      rest.push(describe(next));
    }
  }

  /** Without a word: the kernel tells it at once. */
  cutOff(): void {
    if (!('socket' in this.wire)) throw new Error('over TCP only');
    this.wire.socket.resetAndDestroy();
  }

  /** Waits for the end: what 30 said, and the close code. */
  async end(): Promise<{ close: ReadFields<(typeof BODIES)[30]['fields']> | undefined; ended: Ended }> {
    const ended = await this.wire.end();
    const last = this.wire.frames.at(-1);
    const close =
      last?.op === OperationV2.Close
        ? BODIES[OperationV2.Close].decode(plainFrame(last, inflateRaw, 1_000_000).body)
        : undefined;
    return { close, ended };
  }
}

function describe({ op, seq, body }: Frame): string {
  const message: Message<Fields> | undefined = (BODIES as Record<number, Message<Fields>>)[op];
  const text = message ? JSON.stringify(message.decode(body)) : Buffer.from(body).toString();
  return `${op} (${seq}): ${text}`;
}
