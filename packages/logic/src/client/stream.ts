import type { RoomId } from '@halley/protocol/ids';
import { streamOf } from '@halley/store/shard';

import { invalid, MAX_NAME_LENGTH } from '../push/target.js';
import { ANONYMOUS, type Asker } from './asker.js';

const ROOM = 'r/';

/** Checks that a client asks about its own inbox or about a room. Throws `invalid_argument`. */
export function checkStream(stream: string, { mid }: Pick<Asker, 'mid'>, path = 'stream'): void {
  if (mid !== ANONYMOUS && stream === streamOf.user(mid)) return;
  if (!stream.startsWith(ROOM) || stream === ROOM) {
    throw invalid(path, 'is neither the own inbox, u/{mid}, nor a room, r/{type}://{room}');
  }
  if (stream.length > MAX_NAME_LENGTH + ROOM.length) {
    throw invalid(path, `${stream.length} characters, more than ${MAX_NAME_LENGTH + ROOM.length}`);
  }
}

/** The room that a stream is of; undefined for any other. */
export function roomOf(stream: string): RoomId | undefined {
  return stream.startsWith(ROOM) ? (stream.slice(ROOM.length) as RoomId) : undefined;
}
