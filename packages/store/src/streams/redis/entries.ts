import { HalleyError } from '@halley/protocol/error';

import { decodeContent, decodeEntry, type Content } from '../entry-codec.js';
import type { StreamEntry } from '../streams.js';

const COLON = ':'.charCodeAt(0);

/**
 * Reads entries as the scripts store them, `position:prev:own part`. `shared` lists positions and the contents stored
 * under them. Throws `internal` when a content is lost: somebody else removed keys.
 */
export function entryReader(shared: readonly (Buffer | null)[]): (stored: Buffer) => StreamEntry {
  const contents = new Map<number, Content>();
  for (let i = 0; i + 1 < shared.length; i += 2) {
    const content = shared[i + 1];
    if (content) contents.set(Number(shared[i]!.toString()), decodeContent(content));
  }
  return (stored) => {
    try {
      const first = stored.indexOf(COLON);
      const second = stored.indexOf(COLON, first + 1);
      const position = Number(stored.toString('latin1', 0, first));
      const prev = Number(stored.toString('latin1', first + 1, second));
      return decodeEntry(position, prev, stored.subarray(second + 1), (at) => contents.get(at));
    } catch (error) {
      throw new HalleyError('internal', 'An entry of a stream cannot be read from Redis.', { cause: error });
    }
  };
}
