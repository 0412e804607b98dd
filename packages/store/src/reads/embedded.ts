import { HalleyError } from '@halley/protocol/error';
import type { UserId } from '@halley/protocol/ids';
import type { Database } from 'lmdb';

import { archivedName } from '../archive/stream-name.js';
import { openEmbeddedDatabase, type EmbeddedDatabase, type EmbeddedKey } from '../embedded-database.js';
import type { ReadMark, Reads } from './reads.js';

export interface EmbeddedReadsDeps {
  /** An existing folder; the marks are in its `halley.mdb`, in the table `read-positions` (mid, stream). */
  readonly dataDir: string;
}

/** Read positions in the file of the data folder, for one process. */
export class EmbeddedReads implements Reads {
  readonly name = 'read positions (embedded)';
  #database: EmbeddedDatabase | undefined;
  #marks: Database<ReadMark, EmbeddedKey> | undefined;

  constructor(private readonly deps: EmbeddedReadsDeps) {}

  async start(): Promise<void> {
    this.#database = await openEmbeddedDatabase(this.deps.dataDir);
    this.#marks = this.#database.table('read-positions');
  }

  async stop(): Promise<void> {
    this.#marks = undefined;
    await this.#database?.release();
    this.#database = undefined;
  }

  async get(mid: UserId, streams: readonly string[]): Promise<ReadonlyMap<string, ReadMark>> {
    const marks = this.#open();
    marks.resetReadTxn();
    return held(marks, mid, streams);
  }

  async advance(mid: UserId, asked: ReadonlyMap<string, ReadMark>): Promise<ReadonlyMap<string, ReadMark>> {
    const marks = this.#open();
    try {
      const now = await marks.transaction(() => {
        for (const [stream, mark] of asked) {
          const key = [mid, archivedName(stream)];
          const old = marks.get(key);
          if (old?.epoch === mark.epoch && old.position >= mark.position) continue;
          const { epoch, position, atMs } = mark;
          void marks.put(key, { epoch, position, atMs });
        }
        return held(marks, mid, [...asked.keys()]);
      });
      await this.#database?.flushed();
      return now;
    } catch (error) {
      throw unavailable(error);
    }
  }

  #open(): Database<ReadMark, EmbeddedKey> {
    if (!this.#marks) throw unavailable(new Error('The read positions are not open.'));
    return this.#marks;
  }
}

function held(
  marks: Database<ReadMark, EmbeddedKey>,
  mid: UserId,
  streams: readonly string[],
): Map<string, ReadMark> {
  const found = new Map<string, ReadMark>();
  for (const stream of streams) {
    const mark = marks.get([mid, archivedName(stream)]);
    if (mark) found.set(stream, mark);
  }
  return found;
}

function unavailable(cause: unknown): HalleyError {
  return new HalleyError('store_unavailable', 'The read positions could not be reached. Repeat.', { cause });
}
