import { HalleyError } from '../error.js';
import type { Frame } from '../frame.js';
import { FrameFlag, type FrameV2 } from '../frame-v2.js';

/** Smaller bodies are never compressed. */
export const DEFLATE_FROM_BYTES = 512;

/** Compresses as one raw deflate stream (RFC 1951). */
export type Deflate = (body: Uint8Array) => Uint8Array;

/**
 * Inflates one raw deflate stream that fills `deflated`. Stops and throws HalleyError `frame_too_large` as soon as more
 * than `maxBytes` come out, `bad_frame` when it is none or something is behind it.
 */
export type Inflate = (deflated: Uint8Array, maxBytes: number) => Uint8Array;

/** The frame with its body compressed where that makes it smaller. Do it once for all receivers of the frame. */
export function deflatedFrame(frame: FrameV2, deflate: Deflate): FrameV2 {
  if (frame.flags & FrameFlag.Deflated || frame.body.length < DEFLATE_FROM_BYTES) return frame;
  const body = deflate(frame.body);
  return body.length < frame.body.length
    ? { ...frame, body, flags: frame.flags | FrameFlag.Deflated }
    : frame;
}

/** The frame with its body as it was before compression; `maxBytes` bounds it. Throws as {@link Inflate}. */
export function plainFrame(frame: Frame, inflate: Inflate, maxBytes: number): Frame {
  if (!isDeflated(frame)) return frame;
  return { ...frame, body: inflate(frame.body, maxBytes), flags: frame.flags & ~FrameFlag.Deflated };
}

/** Whether the body has to be inflated before it is read. */
export function isDeflated(frame: Frame): frame is FrameV2 {
  return frame.flags !== undefined && (frame.flags & FrameFlag.Deflated) !== 0;
}

/**
 * {@link Inflate} on the web's streams, for browsers, where nothing else is there: mind that frames stay in order while one
 * is inflated.
 */
export async function inflateOnStream(deflated: Uint8Array, maxBytes: number): Promise<Uint8Array> {
  const stream = new DecompressionStream('deflate-raw');
  const writer = stream.writable.getWriter();
  const written = writer.write(deflated as Uint8Array<ArrayBuffer>).then(() => writer.close());
  // A fault of the stream is met while reading.
  written.catch(() => undefined);
  const reader = (stream.readable as ReadableStream<Uint8Array>).getReader();
  const parts: Uint8Array[] = [];
  let bytes = 0;
  try {
    for (let next = await reader.read(); !next.done; next = await reader.read()) {
      bytes += next.value.length;
      if (bytes > maxBytes) break;
      parts.push(next.value);
    }
  } catch (cause) {
    throw new HalleyError('bad_frame', 'The body is not one deflate stream.', { cause });
  }
  if (bytes > maxBytes) {
    await reader.cancel().catch(() => undefined);
    throw new HalleyError('frame_too_large', `The body inflates to more than ${maxBytes} bytes.`);
  }
  const body = new Uint8Array(bytes);
  let at = 0;
  for (const part of parts) {
    body.set(part, at);
    at += part.length;
  }
  return body;
}
