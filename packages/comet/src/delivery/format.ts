import type { FrameV2 } from '@halley/protocol/frame-v2';
import { closeFrameV2, FrameFlag, frameV2Bytes, HEADER_V2_BYTES, VERSION_2 } from '@halley/protocol/frame-v2';
import { encodeFrame, type Frame, frameBytes, writeFrame } from '@halley/protocol/frame';
import { deflatedFrame } from '@halley/protocol/client/compression';
import { deflateRaw } from '@halley/service/raw-deflate';

import { binaryHeaderBytes, writeBinaryHeader } from './websocket-frame.js';

/** What connections speak on: messages on WebSocket, else bare frames, in responses with SSE and long poll. */
export type Variant = 'tcp' | 'websocket' | 'sse' | 'poll';

/** How frames leave to a connection: a sum of bits. None of them is goim's frames, bare. */
export const Format = {
  /** In WebSocket messages. */
  WebSocket: 1,
  /** With the long header. */
  Version2: 2,
  /** Bodies are compressed; with version 2 only. */
  Deflated: 4,
  /** Frames have checksums; with version 2 only. */
  Checksum: 8,
} as const;

/** The format of a connection with version 1. */
export function formatOf(variant: Variant): number {
  return variant === 'websocket' ? Format.WebSocket : 0;
}

/** Frames for many connections, encoded once for each format that occurs among them. */
export interface Encoded {
  /** Their bytes; none where none of them is for connections of this format. */
  bytes(format: number): Uint8Array;
  /** How many messages they bring to a connection of this format. */
  frames(format: number): number;
}

/** Frames of version 2: each compressed once, and framed once for each format. */
export class SharedFrames implements Encoded {
  #deflated: readonly FrameV2[] | undefined;
  readonly #byFormat: (Uint8Array | undefined)[] = [];

  constructor(
    private readonly plain: readonly FrameV2[],
    private readonly messages: number,
    private readonly deflate: (frame: FrameV2) => FrameV2 = deflateWhole,
  ) {}

  bytes(format: number): Uint8Array {
    return (this.#byFormat[format] ??= encodeV2(format, this.#framesOf(format)));
  }

  frames(_format: number): number {
    return this.messages;
  }

  #framesOf(format: number): readonly FrameV2[] {
    if (!(format & Format.Deflated)) return this.plain;
    return (this.#deflated ??= this.plain.map(this.deflate));
  }
}

function deflateWhole(frame: FrameV2): FrameV2 {
  return deflatedFrame(frame, deflateRaw);
}

/** One frame for one connection, as a reply is: bare, in a WebSocket message of its own there. */
export function encodeReply(format: number, frame: Frame): Uint8Array {
  if (format & Format.Version2) {
    const long = { ...frame, ver: VERSION_2, flags: 0 };
    return encodeV2(format, [format & Format.Deflated ? deflateWhole(long) : long]);
  }
  if (!(format & Format.WebSocket)) return encodeFrame(frame);
  const bytes = frameBytes(frame);
  const header = binaryHeaderBytes(bytes);
  const out = new Uint8Array(header + bytes);
  writeBinaryHeader(out, bytes);
  writeFrame(out, header, frame);
  return out;
}

/** Frames back to back, compressed already where they are to be. */
function encodeV2(format: number, frames: readonly FrameV2[]): Uint8Array {
  const checksum = format & Format.Checksum ? FrameFlag.Checksum : 0;
  const flagged = frames.map((frame) => ({ ...frame, flags: frame.flags | checksum }));
  let bytes = 0;
  for (const frame of flagged) bytes += frameV2Bytes(frame);
  if (bytes === 0) return NOTHING;
  const lead = format & Format.WebSocket ? binaryHeaderBytes(bytes) : 0;
  const out = Buffer.allocUnsafeSlow(lead + bytes);
  if (lead > 0) writeBinaryHeader(out, bytes);
  let offset = lead;
  for (const frame of flagged) {
    const end = offset + frameV2Bytes(frame);
    out.set(frame.body, offset + HEADER_V2_BYTES);
    closeFrameV2(out.subarray(0, end), offset, frame);
    offset = end;
  }
  return out;
}

const NOTHING = new Uint8Array(0);
