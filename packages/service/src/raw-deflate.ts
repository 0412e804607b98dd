import { deflateRawSync, inflateRawSync } from 'node:zlib';

import type { Deflate, Inflate } from '@halley/protocol/client/compression';
import { HalleyError } from '@halley/protocol/error';

/** Compresses a body for version 2 of the client protocol, at zlib's default level. */
export const deflateRaw: Deflate = (body) => deflateRawSync(body);

/** Inflates a body of version 2: stops at the limit, whatever it would have become. */
export const inflateRaw: Inflate = (deflated, maxBytes) => {
  const result = inflate(deflated, maxBytes);
  if (result.buffer.length > maxBytes) throw tooLarge(maxBytes);
  if (result.engine.bytesWritten !== deflated.length) {
    throw new HalleyError('bad_frame', 'Something is behind the deflate stream of the body.');
  }
  return result.buffer;
};

/** What zlib answers with `info`, which its types leave out. */
interface Inflated {
  readonly buffer: Uint8Array;
  readonly engine: { readonly bytesWritten: number };
}

function inflate(deflated: Uint8Array, maxBytes: number): Inflated {
  try {
    // The limit of zlib is at least 1, so that the byte above it decides.
    return inflateRawSync(deflated, { maxOutputLength: maxBytes + 1, info: true }) as unknown as Inflated;
  } catch (cause) {
    if ((cause as NodeJS.ErrnoException).code === 'ERR_BUFFER_TOO_LARGE') throw tooLarge(maxBytes);
    throw new HalleyError('bad_frame', 'The body is not one deflate stream.', { cause });
  }
}

function tooLarge(maxBytes: number): HalleyError {
  return new HalleyError('frame_too_large', `The body inflates to more than ${maxBytes} bytes.`);
}
