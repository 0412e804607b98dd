import type { UserId } from '@halley/protocol/ids';
import type { Service } from '@halley/service/lifecycle';

import type { Position, ShardEntry, StreamEntry } from '../streams/streams.js';

/** An archived entry; its `prev` is not kept. */
export type ArchivedEntry = Omit<StreamEntry, 'prev'>;

/** What is archived of one shard. */
export interface StoreBatch {
  readonly shard: number;
  /** The watermark that the batch follows; another one refuses it. */
  readonly from: Position;
  /** The watermark afterwards. */
  readonly through: Position;
  readonly entries: readonly ShardEntry[];
}

export interface ArchivePage {
  /** Above max(after, floor) and up to `through`, in order. */
  readonly entries: readonly ArchivedEntry[];
  /** Entries at or below this cannot be resumed from any more: retention took them. */
  readonly floor: Position;
  /** Whether entries remain that the limits cut off. */
  readonly more: boolean;
}

export interface HistoryQuery {
  readonly stream: string;
  /** From the newest backwards, or from the oldest forwards. */
  readonly direction: 'backward' | 'forward';
  /** Exclusive bounds; absent is no bound. */
  readonly afterPosition?: Position;
  readonly beforePosition?: Position;
  /** Unix milliseconds of acceptance: inclusive and exclusive. */
  readonly fromMs?: number;
  readonly toMs?: number;
  readonly maxEntries: number;
  /** Of the bodies together; at least one entry is answered. Default 8 MiB. */
  readonly maxBytes?: number;
  /** What has expired by then, or has been kept as long as it was to be, is left out. Unix milliseconds; absent leaves nothing out. */
  readonly nowMs?: number;
}

export interface CountQuery {
  readonly stream: string;
  /** Entries above this, and up to `through`. */
  readonly after: Position;
  readonly through: Position;
  /** What this user sent is not counted. */
  readonly notFrom: UserId;
  /** What has expired by then, or has been kept as long as it was to be, is not counted. Unix milliseconds. */
  readonly nowMs: number;
  /** The count ends here. */
  readonly max: number;
}

/** Of the entries that a count is of, it looks at the first so many times `max`: it takes no longer however many there are. */
export const COUNT_LOOKS = 2;

export interface Kept {
  /** Entries accepted earlier go. Unix milliseconds. */
  readonly sinceMs: number;
  /** At most this many of a stream stay. */
  readonly maxEntries: number;
}

/**
 * What a device can resume from, and what history keeps: at least as much. Entries leave a stream from the front, in
 * order: one that was accepted too early stays while one before it does.
 */
export interface Retention {
  readonly resume: Kept;
  readonly history: Kept;
}

/** An entry without its body, and where it stands. */
export interface FoundEntry extends Omit<ArchivedEntry, 'body'> {
  readonly epoch: string;
  /** As the archive names it: a long one is a hash. */
  readonly stream: string;
  readonly bodyBytes: number;
}

/**
 * The long part of the streams: entries by stream and position, a watermark for each shard, a floor for each stream.
 *
 * Everything of a shard at or below its watermark is here, or at or below its stream's floor. Methods throw HalleyError
 * `store_unavailable` when the database cannot be reached in time.
 */
export interface Archive extends Service {
  /** Up to where a shard is archived; `BEFORE_ALL` when nothing of this epoch is. */
  watermark(shard: number, epoch: string): Promise<Position>;
  /** The same of several shards; each of them is in the answer. */
  watermarks(shards: readonly number[], epoch: string): Promise<ReadonlyMap<number, Position>>;
  /**
   * Writes rows that are not there yet and moves the watermarks of their shards, each of which is named once, in one
   * transaction. Answers of each batch whether the watermark was `from`; of one where it was not, nothing is written, and the
   * others are written all the same.
   */
  store(epoch: string, batches: readonly StoreBatch[]): Promise<readonly boolean[]>;
  /** What resume reads. */
  read(
    epoch: string,
    query: {
      readonly stream: string;
      readonly after: Position;
      readonly through: Position;
      readonly maxEntries: number;
      readonly maxBytes: number;
    },
  ): Promise<ArchivePage>;
  /** What history reads, in the order asked for, over what the archive has of this epoch. */
  history(
    epoch: string,
    query: HistoryQuery,
  ): Promise<{ readonly entries: readonly ArchivedEntry[]; readonly more: boolean }>;
  /** Entries of the push of this caller with this id, in whatever stream and epoch, at most `max`, by stream. */
  find(caller: string, id: string, max: number): Promise<readonly FoundEntry[]>;
  /** The newest archived entries of collapse ids of a stream; absent where there is none. */
  collapsed(epoch: string, stream: string, ids: readonly string[]): Promise<ReadonlyMap<string, Position>>;
  /** How many entries there are, those below the floor that are kept as history included; see {@link COUNT_LOOKS}. */
  count(epoch: string, query: CountQuery): Promise<number>;
  /**
   * Moves floors as the resume retention says and deletes rows as the history retention says, never rows above the
   * floor; a stream's floor and rows change in one transaction. A bounded amount a call, which goes on where the last one
   * ended; answers how many rows went. Several nodes may call it at once.
   */
  retain(retention: Retention): Promise<number>;
  /**
   * Takes the bodies away of entries whose own retention ended at `beforeMs` (Unix milliseconds) or earlier: whoever reads
   * such an entry finds an empty one. All else of it stays, its `bodyBytes` too. A bounded amount a call, those that ended
   * first; answers how many. Several nodes may call it at once.
   */
  blank(beforeMs: number): Promise<number>;
  /** Whether the database can be reached now, for readiness. */
  healthy(): boolean;
}
