import { createHash } from 'node:crypto';
import type { Database } from 'lmdb';

import type { EmbeddedDatabase, EmbeddedKey } from '../embedded-database.js';
import type { Position } from './streams.js';

export interface ShardRecord {
  readonly epoch: string;
  readonly applied: Position;
  readonly trimmed: Position;
  readonly restored: Position;
  /** Unix milliseconds; 0 when it was restored at the beginning. */
  readonly restoredAtMs?: number;
  /** Grows with each restore. */
  readonly life: number;
}

export interface StoredCursor {
  readonly key: string;
  readonly owner: string;
  readonly epoch: string;
  readonly position: Position;
  /** Absent of one that was saved before there was such a thing: its position. */
  readonly begin?: Position;
  readonly untilMs: number;
  /** Grows with each save of the stream. */
  readonly sequence: number;
}

/** The tables of the streams in the shared file. A stream stands in keys as {@link keyText} has it. */
export interface StreamTables {
  /** (shard) */
  readonly shards: Database<ShardRecord, EmbeddedKey>;
  /** (stream, position) → prev f64 · own part of the entry */
  readonly entries: Database<Buffer, EmbeddedKey>;
  /** (shard, position) → the streams that have an entry there */
  readonly index: Database<string[], EmbeddedKey>;
  /** (shard, position) → the content of a push that is stored once */
  readonly contents: Database<Buffer, EmbeddedKey>;
  /** (shard, collapse id, stream) → the newest position, of those that are held */
  readonly collapses: Database<Position, EmbeddedKey>;
  /** (shard, position) → the collapse id of each stream that has an entry with one there */
  readonly collapseIndex: Database<[stream: string, id: string][], EmbeddedKey>;
  /** (stream) → position, life, until when it is known */
  readonly newest: Database<[position: number, life: number, untilMs: number], EmbeddedKey>;
  /** (shard, id) → position, digest, until when it is known */
  readonly ids: Database<[position: number, digest: string, untilMs: number], EmbeddedKey>;
  /** (until, shard, id) of each id, by which they go */
  readonly idEnds: Database<1, EmbeddedKey>;
  /** (stream, key) */
  readonly cursors: Database<StoredCursor, EmbeddedKey>;
}

export function openTables(database: EmbeddedDatabase): StreamTables {
  return {
    shards: database.table('streams-shards'),
    entries: database.bytes('streams-entries'),
    index: database.table('streams-index'),
    contents: database.bytes('streams-contents'),
    collapses: database.table('streams-collapses'),
    collapseIndex: database.table('streams-collapse-index'),
    newest: database.table('streams-newest'),
    ids: database.table('streams-ids'),
    idEnds: database.table('streams-id-ends'),
    cursors: database.table('streams-cursors'),
  };
}

const MAX_KEY_TEXT_BYTES = 300;

/** A text as part of a key: the file takes keys of up to 1,978 bytes, so that a long one is stood for by its hash. */
export function keyText(text: string): string {
  if (text.length * 3 <= MAX_KEY_TEXT_BYTES || Buffer.byteLength(text) <= MAX_KEY_TEXT_BYTES) return text;
  return `#${createHash('sha256').update(text).digest('base64url')}`;
}
