import { createHash } from 'node:crypto';
import type { IncomingMessage } from 'node:http';

import { HalleyError } from '@halley/protocol/error';

/** 128 bits in base64url without padding. */
const SESSION_ID = /^[\w-]{22}$/;
const BEARER = /^bearer +([\w-]+)$/i;
const NUMBER = /^\d{1,15}$/;

/** What every request of a session says. */
export interface SessionRequest {
  readonly id: string;
  /** The body of operation 7. */
  readonly auth: Buffer;
  /** Its SHA-256. */
  readonly credential: Buffer;
}

/** Reads the headers. Throws `invalid_argument` or `bad_token`, which names the header, or `frame_too_large`. */
export function sessionOf(request: IncomingMessage, maxBodyBytes: number): SessionRequest {
  const id = request.headers['halley-session'];
  if (typeof id !== 'string' || !SESSION_ID.test(id)) {
    throw new HalleyError(
      'invalid_argument',
      'Halley-Session must be 128 random bits in base64url without padding: 22 characters.',
    );
  }
  const bearer = BEARER.exec(request.headers.authorization ?? '')?.[1];
  if (bearer === undefined) {
    throw new HalleyError(
      'bad_token',
      'Authorization must be Bearer and the body of operation 7 in base64url without padding.',
    );
  }
  const auth = Buffer.from(bearer, 'base64url');
  if (auth.length > maxBodyBytes) {
    throw new HalleyError('frame_too_large', `Authorization has more than ${maxBodyBytes} bytes.`);
  }
  return { id, auth, credential: createHash('sha256').update(auth).digest() };
}

/** A number of the query; `fallback` where it is missing. Throws `invalid_argument`, which names it. */
export function numberOf(query: URLSearchParams, name: string, fallback?: number): number {
  const text = query.get(name);
  if (text === null && fallback !== undefined) return fallback;
  if (text === null || !NUMBER.test(text)) {
    throw new HalleyError('invalid_argument', `${name} must be a whole number from 0 up.`);
  }
  return Number(text);
}

/**
 * The body; undefined when the client went meanwhile. Throws `frame_too_large` above the limit, and reads no more of it then.
 */
export async function readBody(request: IncomingMessage, maxBytes: number): Promise<Buffer | undefined> {
  const tooLarge = (): HalleyError =>
    new HalleyError('frame_too_large', `The body has more than ${maxBytes} bytes.`);
  if (Number(request.headers['content-length'] ?? 0) > maxBytes) throw tooLarge();
  const chunks: Buffer[] = [];
  let bytes = 0;
  return new Promise((resolve, reject) => {
    request.on('data', (chunk: Buffer) => {
      bytes += chunk.length;
      chunks.push(chunk);
      if (bytes <= maxBytes) return;
      request.pause().removeAllListeners('data');
      reject(tooLarge());
    });
    request.once('end', () => resolve(chunks.length === 1 ? chunks[0] : Buffer.concat(chunks)));
    request.once('error', () => resolve(undefined));
    request.once('close', () => resolve(undefined));
  });
}
