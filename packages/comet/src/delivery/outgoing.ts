import { decodeMessage } from '@halley/protocol/decoder';
import { HalleyError } from '@halley/protocol/error';
import { HEADER_BYTES, VERSION_GOIM } from '@halley/protocol/frame';
import type { UserId } from '@halley/protocol/ids';
import { Operation } from '@halley/protocol/operation';

/** A client that sent a message to others. */
export interface Sender {
  readonly mid: UserId;
  readonly key: string;
  /** Its own id of the message. */
  readonly clientId: string;
  /** The user whom it was sent to; 0 when it was a room. */
  readonly toMid: UserId;
}

/** What is told of a message beside its operation and body, to connections with version 2. */
export interface About {
  readonly id: string;
  /** Unix milliseconds; 0 is unknown. */
  readonly acceptedAtMs: number;
  /** Unix milliseconds; 0 is never. */
  readonly expireAtMs: number;
  readonly traceparent: string;
  /** Undefined when the business sent it. */
  readonly sender: Sender | undefined;
  /** Who pushed it; absent where that is not known. It is not told to clients. */
  readonly caller?: string;
}

/** A push on its way out: one frame to be, or frames that somebody else made. */
export interface Outgoing {
  /** What a connection must accept to be sent it, where that is asked. */
  readonly filterOp: number;
  readonly ver: number;
  readonly op: number;
  readonly seq: number;
  /** The frame's body; for op 9 whole frames, glued. */
  readonly body: Uint8Array;
  /** How many frames the client will see. */
  readonly frames: number;
  /** A frame of the protocol itself, for connections with version 2 alone, whatever they accept. */
  readonly control: boolean;
  /** Undefined where nothing is known. */
  readonly about: About | undefined;
}

/** A push of version 1 that comet frames itself. */
export function outgoing(op: number, body: Uint8Array, about?: About, control = false): Outgoing {
  return { filterOp: op, ver: VERSION_GOIM, op, seq: 0, body, frames: 1, control, about };
}

/** A push as goim's callers give it: op 9 carries frames, any other op is framed. Throws `invalid_argument`. */
export function outgoingProto(
  proto: { readonly ver: number; readonly op: number; readonly seq: number; readonly body: Uint8Array },
  filterOp: number,
): Outgoing {
  const { op, seq, body } = proto;
  const ver = proto.ver === 0 ? VERSION_GOIM : proto.ver;
  const push = { filterOp, ver, op, seq, body, control: false, about: undefined };
  if (op !== Operation.Raw) return { ...push, frames: 1 };
  try {
    return { ...push, frames: decodeMessage(body, { maxBodyBytes: body.length }).length };
  } catch (error) {
    throw new HalleyError('invalid_argument', 'proto.body: with op 9 it must be whole frames, glued.', {
      cause: error,
    });
  }
}

/** Whether a push is of no use any more at `nowMs`, Unix milliseconds. */
export function isLate({ about }: Pick<Outgoing, 'about'>, nowMs: number): boolean {
  return about !== undefined && about.expireAtMs > 0 && about.expireAtMs <= nowMs;
}

/** Bytes that a push takes on TCP. */
export function outgoingBytes(push: Outgoing): number {
  return push.op === Operation.Raw ? push.body.length : HEADER_BYTES + push.body.length;
}
