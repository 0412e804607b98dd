import { HalleyError } from '@halley/protocol/error';
import { decodeMessage } from '@halley/protocol/decoder';
import {
  encodeFrame,
  type Frame,
  frameBytes,
  HEADER_BYTES,
  VERSION_GOIM,
  writeFrame,
  writeHeader,
} from '@halley/protocol/frame';
import { Operation } from '@halley/protocol/operation';

import { binaryHeaderBytes, writeBinaryHeader } from './websocket-frame.js';

/** How frames leave: bare on TCP, as messages on WebSocket. */
export type Variant = 'tcp' | 'websocket';

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
}

/** A push of version 1 that comet frames itself. */
export function outgoing(op: number, body: Uint8Array): Outgoing {
  return { filterOp: op, ver: VERSION_GOIM, op, seq: 0, body, frames: 1 };
}

/** A push as goim's callers give it: op 9 carries frames, any other op is framed. Throws `invalid_argument`. */
export function outgoingProto(
  proto: { readonly ver: number; readonly op: number; readonly seq: number; readonly body: Uint8Array },
  filterOp: number,
): Outgoing {
  const { op, seq, body } = proto;
  const ver = proto.ver === 0 ? VERSION_GOIM : proto.ver;
  if (op !== Operation.Raw) return { filterOp, ver, op, seq, body, frames: 1 };
  try {
    const frames = decodeMessage(body, { maxBodyBytes: body.length }).length;
    return { filterOp, ver, op, seq, body, frames };
  } catch (error) {
    throw new HalleyError('invalid_argument', 'proto.body: with op 9 it must be whole frames, glued.', {
      cause: error,
    });
  }
}

/** Bytes that a push takes on TCP. */
export function outgoingBytes(push: Outgoing): number {
  return push.op === Operation.Raw ? push.body.length : HEADER_BYTES + push.body.length;
}

/**
 * Pushes encoded once for all their receivers. One allocation holds both variants: the frames glued, as TCP takes them,
 * stand behind the WebSocket header and the op 9 header that make them one WebSocket message.
 */
export interface Encoded {
  readonly tcp: Uint8Array;
  readonly websocket: Uint8Array;
  readonly frames: number;
}

/** Encodes pushes, joined in their order. */
export function encodePushes(pushes: readonly Outgoing[]): Encoded {
  let bytes = 0;
  let frames = 0;
  for (const push of pushes) {
    bytes += outgoingBytes(push);
    frames += push.frames;
  }
  const lead = binaryHeaderBytes(HEADER_BYTES + bytes) + HEADER_BYTES;
  const out = Buffer.allocUnsafeSlow(lead + bytes);
  const start = writeBinaryHeader(out, HEADER_BYTES + bytes);
  writeHeader(out, start, bytes, VERSION_GOIM, Operation.Raw, 0);
  let offset = lead;
  for (const push of pushes) {
    if (push.op !== Operation.Raw) {
      writeHeader(out, offset, push.body.length, push.ver, push.op, push.seq);
      offset += HEADER_BYTES;
    }
    out.set(push.body, offset);
    offset += push.body.length;
  }
  return { tcp: out.subarray(lead), websocket: out, frames };
}

/** A push to the streams of many, encoded once when the first of them is sent it. */
export class SharedPush {
  #encoded: Encoded | undefined;

  constructor(
    readonly operation: number,
    /** Undefined where it was left out: the push is to be read. */
    private readonly body: Uint8Array | undefined,
    readonly expired: boolean,
  ) {}

  get hasBody(): boolean {
    return this.body !== undefined;
  }

  get encoded(): Encoded {
    if (!this.body) throw new HalleyError('internal', 'a push without its body cannot be sent');
    this.#encoded ??= encodePushes([outgoing(this.operation, this.body)]);
    return this.#encoded;
  }
}

/** A reply: one bare frame, in a WebSocket message of its own there. */
export function encodeReply(variant: Variant, frame: Frame): Uint8Array {
  if (variant === 'tcp') return encodeFrame(frame);
  const bytes = frameBytes(frame);
  const header = binaryHeaderBytes(bytes);
  const out = new Uint8Array(header + bytes);
  writeBinaryHeader(out, bytes);
  writeFrame(out, header, frame);
  return out;
}
