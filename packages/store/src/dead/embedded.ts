import { HalleyError } from '@halley/protocol/error';
import type { Database } from 'lmdb';

import { openEmbeddedDatabase, type EmbeddedDatabase, type EmbeddedKey } from '../embedded-database.js';
import type {
  DeadLetter,
  DeadLetterClaim,
  DeadLetterHead,
  DeadLetterId,
  DeadLetterPage,
  DeadLetterQuery,
  DeadLetterStore,
  NewDeadLetter,
} from './dead.js';

export interface EmbeddedDeadLettersDeps {
  /** An existing folder; the letters are in its `halley.mdb`. */
  readonly dataDir: string;
}

/** A letter as it lies in the file; its record is beside it, so that a list need not read it. */
interface Row extends Omit<DeadLetterHead, 'id'> {
  readonly place: EmbeddedKey;
}

interface Tables {
  /** (id) */
  readonly heads: Database<Row, EmbeddedKey>;
  /** (id) */
  readonly records: Database<Pick<DeadLetter, 'key' | 'headers' | 'value'>, EmbeddedKey>;
  /** (epoch, partition, offset) of halley-dead, and (epoch, topic, partition, offset) of the record → id */
  readonly places: Database<number, EmbeddedKey>;
  /** The last id that was given. */
  readonly ids: Database<number, EmbeddedKey>;
}

const LAST_ID: EmbeddedKey = ['last', 0];

/** A key of one element is not read back as a tuple. */
function keyOf(id: number): EmbeddedKey {
  return ['letter', id];
}

/** Dead letters in the file of the data folder, for one process. */
export class EmbeddedDeadLetters implements DeadLetterStore {
  readonly name = 'dead letters (embedded)';
  #database: EmbeddedDatabase | undefined;
  #tables: Tables | undefined;

  constructor(private readonly deps: EmbeddedDeadLettersDeps) {}

  async start(): Promise<void> {
    const database = await openEmbeddedDatabase(this.deps.dataDir);
    this.#database = database;
    this.#tables = {
      heads: database.table('dead-letters'),
      records: database.table('dead-letter-records'),
      places: database.table('dead-letter-places'),
      ids: database.table('dead-letter-ids'),
    };
  }

  async stop(): Promise<void> {
    this.#tables = undefined;
    await this.#database?.release();
    this.#database = undefined;
  }

  async add(epoch: string, letters: readonly NewDeadLetter[]): Promise<void> {
    await this.#write(({ heads, records, places, ids }) => {
      let id = ids.get(LAST_ID) ?? 0;
      for (const { place, key, headers, value, ...head } of letters) {
        const at = [epoch, place.partition, place.offset];
        const source = sourceOf(epoch, head);
        if (places.doesExist(at) || (source && places.doesExist(source))) continue;
        id += 1;
        void places.put(at, id);
        if (source) void places.put(source, id);
        void heads.put(keyOf(id), { ...head, requeuedAtMs: 0, place: at });
        void records.put(keyOf(id), { key, headers, value });
      }
      void ids.put(LAST_ID, id);
    });
  }

  async list({ before, topic, reason, maxLetters }: DeadLetterQuery): Promise<DeadLetterPage> {
    const letters: DeadLetterHead[] = [];
    const start = keyOf(before === undefined ? Infinity : Number(before) - 0.5);
    for (const { key, value } of this.#fresh().heads.getRange({ start, end: keyOf(0), reverse: true })) {
      if (topic !== undefined && value.topic !== topic) continue;
      if (reason !== undefined && value.reason !== reason) continue;
      if (letters.length === maxLetters) return { letters, more: true };
      letters.push(headOf(Number(key[1]), value));
    }
    return { letters, more: false };
  }

  async get(id: DeadLetterId): Promise<DeadLetter | undefined> {
    return letterIn(this.#fresh(), Number(id));
  }

  claim(id: DeadLetterId, atMs: number, again: boolean): Promise<DeadLetterClaim> {
    return this.#write((tables): DeadLetterClaim => {
      const letter = letterIn(tables, Number(id));
      if (!letter) return { outcome: 'absent' };
      if (letter.requeuedAtMs > 0 && !again) return { outcome: 'requeued', atMs: letter.requeuedAtMs };
      mark(tables, Number(id), atMs);
      return { outcome: 'claimed', letter: { ...letter, requeuedAtMs: atMs } };
    });
  }

  async unclaim(id: DeadLetterId, atMs: number): Promise<void> {
    await this.#write((tables) => {
      if (tables.heads.get(keyOf(Number(id)))?.requeuedAtMs === atMs) mark(tables, Number(id), 0);
    });
  }

  retain({ sinceMs, maxLetters }: { sinceMs: number; maxLetters: number }): Promise<number> {
    return this.#write(({ heads, records, places }) => {
      let above = heads.getCount() - maxLetters;
      let gone = 0;
      for (const { key, value } of Array.from(heads.getRange({}))) {
        const isGoing = above > 0 || value.atMs < sinceMs;
        above -= 1;
        if (!isGoing) continue;
        void heads.remove(key);
        void records.remove(key);
        void places.remove(value.place);
        const source = sourceOf(String(value.place[0]), value);
        if (source) void places.remove(source);
        gone += 1;
      }
      return gone;
    });
  }

  /** One transaction, durable when it resolves. */
  async #write<Result>(change: (tables: Tables) => Result): Promise<Result> {
    const tables = this.#open();
    try {
      const result = await tables.heads.transaction(() => change(tables));
      await this.#database?.flushed();
      return result;
    } catch (error) {
      throw unavailable(error);
    }
  }

  /** The tables, with what was committed up to now. */
  #fresh(): Tables {
    const tables = this.#open();
    tables.heads.resetReadTxn();
    return tables;
  }

  #open(): Tables {
    if (!this.#tables) throw unavailable(new Error('The dead letters are not open.'));
    return this.#tables;
  }
}

/** Undefined where nobody says where the record was. */
function sourceOf(
  epoch: string,
  { topic, partition, offset }: Pick<DeadLetterHead, 'topic' | 'partition' | 'offset'>,
): EmbeddedKey | undefined {
  return topic === '' ? undefined : [epoch, topic, partition, offset];
}

function mark({ heads }: Tables, id: number, atMs: number): void {
  const head = heads.get(keyOf(id));
  if (head) void heads.put(keyOf(id), { ...head, requeuedAtMs: atMs });
}

function headOf(id: number, { place: _, ...head }: Row): DeadLetterHead {
  return { id: String(id), ...head };
}

function letterIn({ heads, records }: Tables, id: number): DeadLetter | undefined {
  const head = heads.get(keyOf(id));
  const record = records.get(keyOf(id));
  return head && record && { ...headOf(id, head), ...record };
}

function unavailable(cause: unknown): HalleyError {
  return new HalleyError('store_unavailable', 'The dead letters could not be reached. Repeat.', { cause });
}
