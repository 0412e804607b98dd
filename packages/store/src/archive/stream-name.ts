import { createHash } from 'node:crypto';

/** Bytes of UTF-8 that a name takes as a key of the archive at most. */
export const MAX_NAME_BYTES = 255;

const HASHED = 'sha256/';

/**
 * The name under which the archive keeps a stream: its own, or, as room ids can be of any length, a hash of a longer one.
 * Streams are called u/…, k/…, r/… or all, so that no name is mistaken for a hash; one that looks like it is hashed too.
 */
export function archivedName(stream: string): string {
  if (Buffer.byteLength(stream) <= MAX_NAME_BYTES && !stream.startsWith(HASHED)) return stream;
  return HASHED + createHash('sha256').update(stream, 'utf8').digest('hex');
}
