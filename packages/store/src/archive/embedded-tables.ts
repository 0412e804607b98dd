import type { Database } from 'lmdb';

import type { EmbeddedDatabase, EmbeddedKey } from '../embedded-database.js';
import type { Position, Sender } from '../streams/streams.js';
import type { StreamState } from './retention.js';

/** An entry as it lies in the file. */
export interface Row {
  readonly id: string;
  readonly operation: number;
  readonly keys: readonly string[];
  readonly acceptedAtMs: number;
  readonly expireAtMs: number;
  readonly traceparent: string;
  readonly caller: string;
  readonly sender?: Sender;
  readonly collapseKey?: string;
  readonly retentionMs?: number;
  readonly bodyBytes: number;
  /** Absent where the shard keeps the body for several streams. */
  readonly body?: Uint8Array;
  readonly shard?: number;
}

interface SharedBody {
  readonly body: Uint8Array;
}

/** What {@link tablesOf} opens. */
export interface Tables {
  readonly entries: Database<Row, EmbeddedKey>;
  readonly streams: Database<StreamState, EmbeddedKey>;
  readonly watermarks: Database<Position, EmbeddedKey>;
  readonly collapses: Database<Position, EmbeddedKey>;
  readonly bodies: Database<SharedBody, EmbeddedKey>;
  readonly bodyUsers: Database<number, EmbeddedKey>;
  /** (hash of caller and id, epoch, stream, position) of each entry that has an id */
  readonly byId: Database<1, EmbeddedKey>;
  /** (Unix milliseconds, epoch, stream, position) of the end of each entry's own retention */
  readonly endings: Database<1, EmbeddedKey>;
}

export function tablesOf(database: EmbeddedDatabase): Tables {
  return {
    entries: database.table('archive-entries'),
    streams: database.table('archive-streams'),
    watermarks: database.table('archive-watermarks'),
    collapses: database.table('archive-collapses'),
    bodies: database.table('archive-bodies'),
    bodyUsers: database.table('archive-body-users'),
    byId: database.table('archive-ids'),
    endings: database.table('archive-endings'),
  };
}

/** Takes an entry off its shared body, and the body with the last. */
export function dropShared(
  { bodies, bodyUsers }: Tables,
  epoch: string,
  position: Position,
  { shard }: Pick<Row, 'shard'>,
): void {
  if (shard === undefined) return;
  const key = [epoch, shard, position];
  const users = (bodyUsers.get(key) ?? 1) - 1;
  if (users > 0) {
    void bodyUsers.put(key, users);
    return;
  }
  void bodyUsers.remove(key);
  void bodies.remove(key);
}

/** Where it stands among the endings. */
export function endingKey(
  { acceptedAtMs, retentionMs = 0 }: Pick<Row, 'acceptedAtMs' | 'retentionMs'>,
  place: EmbeddedKey,
): EmbeddedKey {
  return [acceptedAtMs + retentionMs, ...place];
}

/** Takes bodies away, in a transaction; answers how many. What was ended meanwhile is passed over. */
export function blankEnded(tables: Tables, ended: readonly EmbeddedKey[]): number {
  let blanked = 0;
  for (const key of ended) {
    const [, epoch, stream, position] = key as [number, string, string, number];
    const place = [epoch, stream, position];
    const row = tables.entries.get(place);
    if (!row || !tables.endings.doesExist(key)) continue;
    void tables.endings.remove(key);
    dropShared(tables, epoch, position, row);
    const { shard: _, ...rest } = row;
    void tables.entries.put(place, { ...rest, body: new Uint8Array(0) });
    blanked += 1;
  }
  return blanked;
}
