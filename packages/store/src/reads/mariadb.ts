import type { UserId } from '@halley/protocol/ids';
import { sql } from 'kysely';

import type { ArchiveDatabase } from '../archive/mariadb/database.js';
import { bytesOf, type Queries } from '../archive/mariadb/tables.js';
import { archivedName } from '../archive/stream-name.js';
import type { ReadMark, Reads } from './reads.js';

export interface MariadbReadsDeps {
  /** The archive's, which starts and stops it. */
  readonly database: ArchiveDatabase;
}

/** Read positions in the archive's database, for any number of nodes, in the table `read_positions`. */
export class MariadbReads implements Reads {
  readonly name = 'read positions (MariaDB)';

  constructor(private readonly deps: MariadbReadsDeps) {}

  async start(): Promise<void> {}
  async stop(): Promise<void> {}

  get(mid: UserId, streams: readonly string[]): Promise<ReadonlyMap<string, ReadMark>> {
    return this.deps.database.read((db) => held(db, mid, streams));
  }

  async advance(mid: UserId, asked: ReadonlyMap<string, ReadMark>): Promise<ReadonlyMap<string, ReadMark>> {
    if (asked.size === 0) return new Map();
    // Rows are locked in the order of their names.
    const rows = [...asked]
      .map(([stream, { epoch, position, atMs }]) => ({
        mid,
        stream: bytesOf(archivedName(stream)),
        epoch: bytesOf(epoch),
        position,
        at_ms: atMs,
      }))
      .sort((one, other) => Buffer.compare(one.stream, other.stream));
    return this.deps.database.write(async (db) => {
      // The assignments are done in this order, and each sees those before it.
      await db
        .insertInto('read_positions')
        .values(rows)
        .onDuplicateKeyUpdate({
          at_ms: sql`IF(epoch = VALUES(epoch) AND position >= VALUES(position), at_ms, VALUES(at_ms))`,
          position: sql`IF(epoch = VALUES(epoch), GREATEST(position, VALUES(position)), VALUES(position))`,
          epoch: sql`VALUES(epoch)`,
        })
        .execute();
      return held(db, mid, [...asked.keys()]);
    });
  }
}

async function held(
  db: Queries,
  mid: UserId,
  streams: readonly string[],
): Promise<ReadonlyMap<string, ReadMark>> {
  if (streams.length === 0) return new Map();
  const names = new Map(streams.map((stream) => [archivedName(stream), stream]));
  const rows = await db
    .selectFrom('read_positions')
    .select(['stream', 'epoch', 'position', 'at_ms'])
    .where('mid', '=', mid)
    .where('stream', 'in', [...names.keys()].map(bytesOf))
    .execute();
  return new Map(
    rows.flatMap(({ stream, epoch, position, at_ms: atMs }) => {
      const name = names.get(stream.toString('utf8'));
      return name === undefined ? [] : [[name, { epoch: epoch.toString('utf8'), position, atMs }] as const];
    }),
  );
}
