import type { IncomingMessage } from 'node:http';

import { HalleyError } from '@halley/protocol/error';

/** How much of a body that is too large is read away, so that the caller gets to read the answer. */
const MAX_DISCARDED_BYTES = 16 * 1_048_576;

/**
 * Reads the raw body of a request, whatever its type. A larger one than `maxBytes` is read to its end, within reason,
 * and rejects with `body_too_large`; one that breaks off rejects with `invalid_argument`.
 */
export function readBody(request: IncomingMessage, maxBytes: number): Promise<Buffer> {
  return new Promise((resolve, reject) => {
    const chunks: Buffer[] = [];
    let bytes = 0;
    const tooLarge = (): void =>
      reject(new HalleyError('body_too_large', `the body is larger than ${maxBytes} bytes`));
    request.on('data', (chunk: Buffer) => {
      bytes += chunk.length;
      if (bytes <= maxBytes) {
        chunks.push(chunk);
        return;
      }
      chunks.length = 0;
      if (bytes > maxBytes + MAX_DISCARDED_BYTES) {
        request.pause();
        tooLarge();
      }
    });
    request.on('end', () => {
      if (bytes > maxBytes) tooLarge();
      else resolve(chunks.length === 1 && chunks[0] ? chunks[0] : Buffer.concat(chunks, bytes));
    });
    const broken = (): void => {
      // Each request closes in the end: an error with its stack is only made where it is one.
      if (!request.complete) reject(new HalleyError('invalid_argument', 'the body broke off'));
    };
    request.on('error', broken);
    request.on('close', broken);
  });
}
