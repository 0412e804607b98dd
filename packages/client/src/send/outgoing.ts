import type { SendReply } from '@halley/protocol/client/bodies';

import { ClientError, type ErrorOutcome } from '../client-error.js';
import { deferred, type Deferred } from '../deferred.js';

/** A message to send: to a room, to a user, or with neither to the business. */
export interface Outgoing {
  /** `{type}://{room}` */
  readonly room?: string;
  /** A user, as text where 2^53 is not enough. */
  readonly toMid?: string | number | bigint;
  /** What receivers know its kind by. */
  readonly operation: number;
  readonly body: Uint8Array | string;
  /** Default: a random one. 1 to 64 characters, the same only for what is the same message. */
  readonly clientId?: string;
  /** After this it is of no use, Unix milliseconds. Default: never. */
  readonly expireAtMs?: number;
  readonly traceparent?: string;
}

/** What is asked of the queue beside the message. */
export interface SendOptions {
  /** Gives up after so many milliseconds, `unknown` if it was on the wire. Default: never. */
  readonly timeoutMs?: number;
}

/** The fields of a SendRequest. */
export interface SendFields {
  readonly clientId: string;
  readonly room: string;
  readonly toMid: string;
  readonly operation: number;
  readonly body: Uint8Array;
  readonly expireAtMs: number;
  readonly traceparent: string;
}

/**
 * Where a message of the queue stands. `queued`: not on the wire, behind another one or without a connection. `sent`: on
 * the wire, unanswered. `resting`: the server wants it later. `done`: it has its answer.
 */
export type Progress = 'queued' | 'sent' | 'resting' | 'done';

/** One message of the queue. */
export interface Item {
  readonly fields: SendFields;
  readonly bytes: number;
  /** Its key in the store, where it is kept there. */
  readonly kept: string | undefined;
  readonly answer: Deferred<SendReply>;
  progress: Progress;
  /** Whether it is in the store, where it is to be ahead of the wire. */
  saved: boolean;
  /** When it first was on the wire; undefined when it never was. */
  firstSentAtMs: number | undefined;
  attempts: number;
  cancelTimers: (() => void)[];
}

export function itemOf(fields: SendFields, kept?: string): Item {
  return {
    fields,
    bytes: fields.body.length + fields.room.length + fields.clientId.length,
    kept,
    answer: deferred(),
    progress: 'queued',
    saved: kept === undefined,
    firstSentAtMs: undefined,
    attempts: 0,
    cancelTimers: [],
  };
}

/** The queue that it is in. */
export function targetOf({ fields: { room, toMid } }: Item): string {
  return room === '' ? toMid : `r/${room}`;
}

/** What is known of a message without an answer. */
export function outcomeOf({ firstSentAtMs }: Item): ErrorOutcome {
  return firstSentAtMs === undefined ? 'refused' : 'unknown';
}

/** The server would close the connection for it. */
export function tooLarge(maxBytes: number): ClientError {
  return new ClientError('frame_too_large', `The server takes at most ${maxBytes} bytes.`, {
    outcome: 'refused',
  });
}

export function fieldsOf(message: Outgoing): SendFields {
  const { room = '', toMid = '0', operation, body, expireAtMs = 0, traceparent = '' } = message;
  return {
    clientId: message.clientId ?? randomId(),
    room,
    toMid: String(toMid),
    operation,
    body: bytesOf(body),
    expireAtMs,
    traceparent,
  };
}

export function bytesOf(body: Uint8Array | string): Uint8Array {
  return typeof body === 'string' ? new TextEncoder().encode(body) : body;
}

/** 16 random bytes in hexadecimal. */
function randomId(): string {
  return Array.from(crypto.getRandomValues(new Uint8Array(16)), (byte) =>
    byte.toString(16).padStart(2, '0'),
  ).join('');
}
