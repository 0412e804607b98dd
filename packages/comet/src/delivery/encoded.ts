import { Deliver, type Entry } from '@halley/protocol/client/bodies';
import type { Write } from '@halley/protocol/client/message';
import { DEFLATE_FROM_BYTES } from '@halley/protocol/client/compression';
import { decodeMessage, unpackRaw } from '@halley/protocol/decoder';
import { HalleyError } from '@halley/protocol/error';
import { type FrameV2, frameV2 } from '@halley/protocol/frame-v2';
import { HEADER_BYTES, VERSION_GOIM, writeHeader } from '@halley/protocol/frame';
import { Operation, OperationV2 } from '@halley/protocol/operation';
import type { Position } from '@halley/store/streams/streams';

import { DeflatedPart } from './deflated-part.js';
import { type Encoded, Format, SharedFrames } from './format.js';
import { type About, type Outgoing, outgoing, outgoingBytes } from './outgoing.js';
import { binaryHeaderBytes, writeBinaryHeader } from './websocket-frame.js';

type EntryFields = Write<typeof Entry>;

const NOTHING = new Uint8Array(0);

/**
 * Pushes joined in their order. To connections with version 2 they are messages of `stream` that have no position.
 */
export function encodePushes(pushes: readonly Outgoing[], stream = ''): Encoded {
  return new EncodedPushes(pushes, stream);
}

class EncodedPushes implements Encoded {
  readonly #byFormat: (Uint8Array | undefined)[] = [];
  #version2: Encoded | undefined;
  #goimFrames = 0;
  #allFrames = 0;

  constructor(
    private readonly pushes: readonly Outgoing[],
    private readonly stream: string,
  ) {
    for (const { frames, control } of pushes) {
      this.#allFrames += frames;
      if (!control) this.#goimFrames += frames;
    }
  }

  bytes(format: number): Uint8Array {
    return (this.#byFormat[format] ??= this.#encode(format));
  }

  frames(format: number): number {
    return format & Format.Version2 ? this.#allFrames : this.#goimFrames;
  }

  #encode(format: number): Uint8Array {
    if (format & Format.Version2) {
      this.#version2 ??= new SharedFrames(framesOf(this.pushes, this.stream), this.#allFrames);
      return this.#version2.bytes(format);
    }
    this.#encodeGoim(this.pushes.filter(({ control }) => !control));
    return this.#byFormat[format] as Uint8Array;
  }

  /**
   * One allocation holds both variants of version 1: the frames glued, as TCP takes them, stand behind the WebSocket header
   * and the op 9 header that make them one WebSocket message.
   */
  #encodeGoim(pushes: readonly Outgoing[]): void {
    let bytes = 0;
    for (const push of pushes) bytes += outgoingBytes(push);
    if (pushes.length === 0) {
      this.#byFormat[0] = this.#byFormat[Format.WebSocket] = NOTHING;
      return;
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
    this.#byFormat[0] = out.subarray(lead);
    this.#byFormat[Format.WebSocket] = out;
  }
}

/** What an entry of a stream tells; `position` is 0 where it has none. */
export function entryOf(
  operation: number,
  body: Uint8Array,
  about: About | undefined,
  position: Position = 0,
): EntryFields {
  if (!about) return { position, operation, body };
  const { id, acceptedAtMs, expireAtMs, traceparent, sender } = about;
  const told = { position, id, operation, body, acceptedAtMs, expireAtMs, traceparent };
  if (!sender) return told;
  const { mid: fromMid, key: fromKey, clientId, toMid } = sender;
  return { ...told, fromMid, fromKey, clientId, toMid };
}

/** The frame that delivers. */
export function deliverFrame(fields: Write<typeof Deliver>): FrameV2 {
  return frameV2(OperationV2.Deliver, 0, Deliver.encode(fields));
}

/** Pushes without a position as frames of version 2: what is side by side comes in one. */
function framesOf(pushes: readonly Outgoing[], stream: string): FrameV2[] {
  const frames: FrameV2[] = [];
  let entries: EntryFields[] = [];
  const flush = (): void => {
    if (entries.length > 0) frames.push(deliverFrame({ stream, entries }));
    entries = [];
  };
  for (const push of pushes) {
    if (push.control) {
      flush();
      frames.push(frameV2(push.op, 0, push.body));
    } else if (push.op === Operation.Raw) {
      for (const frame of decodeMessage(push.body, { maxBodyBytes: push.body.length }).flatMap(unpackRaw))
        entries.push(entryOf(frame.op, frame.body, undefined));
    } else {
      entries.push(entryOf(push.op, push.body, push.about));
    }
  }
  flush();
  return frames;
}

export interface SharedPushFields {
  readonly epoch: string;
  readonly position: Position;
  readonly operation: number;
  /** Undefined where it was left out: the push is to be read. */
  readonly body: Uint8Array | undefined;
  readonly expired: boolean;
  readonly about: About | undefined;
}

/** A push to the streams of many, encoded once when the first of them is sent it. */
export class SharedPush {
  #bare: Encoded | undefined;
  /** The stream that was encoded for last, and its frames by what they go on behind. */
  #stream: string | undefined;
  readonly #behind = new Map<Position, Encoded>();
  #part: DeflatedPart | undefined;

  constructor(private readonly fields: SharedPushFields) {}

  get operation(): number {
    return this.fields.operation;
  }

  get about(): About | undefined {
    return this.fields.about;
  }

  get expired(): boolean {
    return this.fields.expired;
  }

  get hasBody(): boolean {
    return this.fields.body !== undefined;
  }

  get bodyBytes(): number {
    return this.fields.body?.length ?? 0;
  }

  /** For version 1: the message alone. */
  get encoded(): Encoded {
    this.#bare ??= encodePushes([outgoing(this.operation, this.#body)]);
    return this.#bare;
  }

  /** For version 2: the next message of a stream behind `after`, the same for all connections that stand there. */
  delivered(stream: string, after: Position): Encoded {
    if (stream !== this.#stream) this.#behind.clear();
    this.#stream = stream;
    let encoded = this.#behind.get(after);
    if (!encoded) {
      const { epoch, position, operation, about } = this.fields;
      const entries = [entryOf(operation, this.#body, about, position)];
      const frame = deliverFrame({ stream, epoch, after, entries, through: position });
      encoded = new SharedFrames([frame], 1, this.#deflate);
      this.#behind.set(after, encoded);
    }
    return encoded;
  }

  /** Each stream has frames of its own: what they share is compressed once. */
  readonly #deflate = (frame: FrameV2): FrameV2 => {
    if (this.bodyBytes < DEFLATE_FROM_BYTES) return frame;
    this.#part ??= new DeflatedPart(this.#body);
    return this.#part.within(frame);
  };

  get #body(): Uint8Array {
    const { body } = this.fields;
    if (!body) throw new HalleyError('internal', 'a push without its body cannot be sent');
    return body;
  }
}
