import type { UserId } from '@halley/protocol/ids';
import type { Service } from '@halley/service/lifecycle';

import type { Position } from '../streams/streams.js';

/** Up to where a user has read a stream. */
export interface ReadMark {
  readonly epoch: string;
  readonly position: Position;
  /** When it was told, Unix milliseconds. */
  readonly atMs: number;
}

/**
 * How far users have read streams: one mark for each (user, stream), kept for good. Methods throw HalleyError
 * `store_unavailable` when the store cannot be reached in time.
 */
export interface Reads extends Service {
  /** The marks of a user by stream; absent where there is none. */
  get(mid: UserId, streams: readonly string[]): Promise<ReadonlyMap<string, ReadMark>>;
  /**
   * Moves marks of a user, by stream, and answers how they stand then. Within an epoch a mark only grows; one that does not
   * grow keeps its time. One of another epoch takes the place of what is there.
   */
  advance(mid: UserId, marks: ReadonlyMap<string, ReadMark>): Promise<ReadonlyMap<string, ReadMark>>;
}
