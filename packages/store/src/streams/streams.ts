import type { HalleyError } from '@halley/protocol/error';
import type { ConnectionKey, UserId } from '@halley/protocol/ids';
import type { Service } from '@halley/service/lifecycle';

import type { RouteAnswer, RouteQuery } from '../routes/routes.js';

/**
 * Where an entry stands: the offset of its record in its bus partition × 1,024 + its index in the record. It grows and is
 * not dense, and is the same again after any loss of the store. Exact up to 2^53. {@link BEFORE_ALL} is before the first.
 */
export type Position = number;

export const BEFORE_ALL: Position = -1;

/** For how long after its acceptance a push's id is known. */
export const ID_LIFETIME_MS = 24 * 3_600_000;

/** For how long a stream's newest position is known at least. */
export const NEWEST_LIFETIME_MS = 24 * 3_600_000;

/** Cursors that a stream keeps. */
export const MAX_CURSORS = 32;

/** A client that sent a message to others. */
export interface Sender {
  readonly mid: UserId;
  readonly key: ConnectionKey;
  /** Its own id of the message; empty where it gave none. */
  readonly clientId: string;
  /** The user whom it was sent to; `0` when it was a room. */
  readonly toMid: UserId;
}

/** A push as it stands in a stream. */
export interface StreamEntry {
  readonly position: Position;
  /** No entry of this stream lies strictly between `prev` and `position`. */
  readonly prev: Position;
  readonly id: string;
  readonly operation: number;
  readonly body: Uint8Array;
  /** Only these devices of the user; empty is all. */
  readonly keys: readonly ConnectionKey[];
  readonly acceptedAtMs: number;
  /** Unix milliseconds; 0 is never. */
  readonly expireAtMs: number;
  /** W3C trace context of the business call; empty when there was none. */
  readonly traceparent: string;
  /** Who pushed. */
  readonly caller: string;
  /** The client that sent it; absent when the business did. */
  readonly sender?: Sender;
  /** Whoever catches up is shown the newest alone of those with the same one (`collapse.ts`); absent is none. */
  readonly collapseKey?: string;
  /** For how long after its acceptance it can be read, in milliseconds; absent is as long as it is kept. */
  readonly retentionMs?: number;
}

/** A stream that a push goes to. One that is named twice gets one entry, for the devices of both. */
export interface AppendTarget {
  readonly stream: string;
  /** Only these devices; empty is all. */
  readonly keys: readonly ConnectionKey[];
}

/** A durable push of a batch, its body once, with its targets in this shard. */
export interface AppendPush extends Omit<StreamEntry, 'prev' | 'keys'> {
  /**
   * Tells pushes under one id of one caller apart: the same id with another digest is a caller's mistake, and is reported.
   * An id is known for 24 h from acceptance; an empty one never is.
   */
  readonly digest: string;
  readonly targets: readonly AppendTarget[];
}

/**
 * What was polled of one partition. Everything durable in (before, through] is among `pushes`, by growing position. It
 * goes to the store in one piece: keep it to some thousand targets and some megabytes.
 */
export interface AppendBatch {
  readonly shard: number;
  /** The bus epoch that the positions belong to. */
  readonly epoch: string;
  /** The position up to which the partition was read before this batch. */
  readonly before: Position;
  /** The last position that this batch covers, also when its last records hold nothing durable. */
  readonly through: Position;
  readonly pushes: readonly AppendPush[];
  /** Users and rooms of this shard whose routes are to be read when the batch is taken in. Default: none. */
  readonly routesOf?: Followed;
}

/** Whose routes are read along with an append: the streams `u/{mid}` and `r/{room}` are of its shard. */
export type Followed = Required<Pick<RouteQuery, 'users' | 'rooms'>>;

/** How far a shard's bus partition was taken in, and up to where its entries are in the archive only. */
export interface ShardState {
  readonly applied: Position;
  readonly trimmed: Position;
}

/** One push in one stream, as it was appended. */
export interface Appended {
  readonly stream: string;
  readonly position: Position;
  readonly prev: Position;
}

/** A push that was not appended because its id was known. */
export interface Repeated {
  readonly position: Position;
  readonly id: string;
  /** Whether the id was known for another content. */
  readonly conflict: boolean;
}

export type AppendAnswer =
  /** Nothing is known of the shard: it was lost, or is of another epoch. {@link Streams.restore} it, and read again from there. */
  | { readonly outcome: 'empty' }
  /** Something before the batch was never taken in: read again from `applied`. */
  | { readonly outcome: 'behind'; readonly applied: Position }
  | {
      readonly outcome: 'appended';
      readonly applied: Position;
      /** In the order of the pushes and their targets. */
      readonly entries: readonly Appended[];
      readonly repeated: readonly Repeated[];
      /**
       * Newest positions of the streams of pushes at or below what had been applied before, once each, as
       * {@link Streams.newest} answers them: entries may be among them.
       */
      readonly known: readonly { readonly stream: string; readonly newest: Position }[];
      /**
       * The routes of {@link AppendBatch.routesOf} as `Routes.find` answers them, read when the batch was in its streams:
       * who connects later finds it there. Absent where none were asked for, and from a store that does not hold the routes.
       */
      readonly routes?: RouteAnswer;
    };

export interface ReadQuery {
  readonly stream: string;
  /** Entries above this. */
  readonly after: Position;
  readonly maxEntries: number;
  /** At least one entry is answered. */
  readonly maxBytes: number;
}

/** What the store still holds of one stream. */
export interface HeldPage extends ShardState {
  /** Above max(after, trimmed), in order. */
  readonly entries: readonly StreamEntry[];
  /** Whether entries up to `applied` remain that the limits cut off. */
  readonly more: boolean;
}

/** Ids of `collapseIdOf` in one stream. */
export interface CollapseQuery {
  readonly stream: string;
  readonly ids: readonly string[];
}

/** The newest entries of ids, of those that are held. */
export interface Collapsed {
  readonly trimmed: Position;
  /** By id; absent where none above `trimmed` is known. */
  readonly newest: ReadonlyMap<string, Position>;
}

/** A row for the archive: an entry and its stream. */
export interface ShardEntry {
  readonly stream: string;
  readonly entry: StreamEntry;
}

/** How far one device has seen one stream. */
export interface Cursor {
  readonly epoch: string;
  readonly position: Position;
}

/** What is known of a device in a stream. */
export interface DeviceCursor extends Cursor {
  /**
   * Where it began, as far as is known: what stands above this and up to the position was sent to it, what stands at or
   * below was not, or nobody knows.
   */
  readonly begin: Position;
  /** Until when it is kept, Unix milliseconds. */
  readonly untilMs: number;
}

export interface CursorWrite extends Cursor {
  readonly stream: string;
  readonly key: ConnectionKey;
  /** It begins here by its own wish: what stands in front was not sent to it, unless it had it before. */
  readonly begins?: boolean;
  /** The session's owner sequence: an older owner's write changes nothing. */
  readonly owner: string;
  /** How long it is kept from now on. */
  readonly ttlMs: number;
}

/** A device that comes to a stream. */
export interface Resuming {
  readonly stream: string;
  /** Absent of a device that is not to be known again: no cursor of it is looked for, or kept. */
  readonly key: ConnectionKey | undefined;
  /** The session's owner sequence. */
  readonly owner: string;
}

/** Where it goes on: its cursor when that is known, else the end of what its shard has taken in. */
export interface Resumed extends Cursor {
  readonly known: boolean;
}

/** Undefined where it is not known; the error of a store that could not be reached. */
export type ResumeOutcome = Resumed | HalleyError | undefined;

/**
 * The hot part of the streams: entries that are not archived yet, by shard, beside how far each shard was taken in.
 * A stream's shard is that of its bus partition (`shardOf`).
 *
 * Appends of a shard are atomic and come from whoever reads its partition; several may (one of them a zombie), as long
 * as each reads without skipping. `trimmed ≤ applied`; entries in (trimmed, applied] are all here, with their bodies.
 * Every method throws HalleyError `store_unavailable` when the store cannot be reached in time, and nothing is sent again
 * behind the caller's back: whoever appends repeats the same batch. What writes throws `store_full` when the store takes
 * nothing more, having changed nothing; `trim` makes room.
 */
export interface Streams extends Service {
  /** Takes a batch in: all of it, or nothing. Pushes at or below `applied` are left as they are. */
  append(batch: AppendBatch): Promise<AppendAnswer>;
  /**
   * Sets applied = trimmed = `position` where the shard is empty or of another epoch, and removes what is left of it but
   * ids and cursors; answers how it then stands.
   */
  restore(shard: number, epoch: string, position: Position): Promise<ShardState>;
  /** How a shard stands; undefined when it is empty or of another epoch. */
  state(shard: number, epoch: string): Promise<ShardState | undefined>;
  /**
   * When a shard was restored behind the beginning, Unix milliseconds: cursors saved before that may be lost. 0 when it never
   * was; undefined when it is empty or of another epoch.
   */
  restoredAtMs(shard: number, epoch: string): Promise<number | undefined>;
  /** Pages of several streams, each read atomically; undefined where the shard is empty or of another epoch. */
  read(epoch: string, queries: readonly ReadQuery[]): Promise<readonly (HeldPage | undefined)[]>;
  /**
   * The newest entries of collapse ids, up to `applied` and above `trimmed`, by query; undefined where the shard is empty or of
   * another epoch.
   */
  collapsed(epoch: string, queries: readonly CollapseQuery[]): Promise<readonly (Collapsed | undefined)[]>;
  /**
   * Newest positions. Of a stream of which no entry is known, since its last one was appended a day ago and is trimmed or
   * was lost: where its shard was restored, as what came before is not known. Absent where that is the beginning, or when
   * the shard is empty.
   */
  newest(streams: readonly string[]): Promise<ReadonlyMap<string, Position>>;
  /**
   * Where a push with this id was taken in by the shard of a stream, within the last 24 h: of the caller, whatever streams it
   * was for. Undefined where none is known.
   */
  appliedAt(stream: string, caller: string, id: string): Promise<Position | undefined>;
  /** The same of every shard that knows it. */
  positions(caller: string, id: string): Promise<ReadonlyMap<number, Position>>;
  /**
   * Entries of a shard above max(after, trimmed), by position: all of each position, at most `maxEntries` positions and
   * fewer where they are large. `through` is `applied` when there are no more, else the last position answered.
   */
  scan(
    shard: number,
    epoch: string,
    after: Position,
    maxEntries: number,
  ): Promise<{ readonly through: Position; readonly entries: readonly ShardEntry[] } | undefined>;
  /** Deletes entries up to min(through, applied), and moves `trimmed` there; never back. */
  trim(shard: number, epoch: string, through: Position): Promise<void>;
  /**
   * Saves cursors, in order. An older owner's changes nothing; of the same epoch the larger position stays. A stream keeps
   * 32: the one that was saved longest ago goes.
   */
  saveCursors(cursors: readonly CursorWrite[]): Promise<void>;
  /**
   * Where devices go on, in as few round trips as it can, each for itself and in their order. The cursor is saved as
   * {@link saveCursors} would from then on for `ttlMs`; who has none begins at the end. Undefined, and nothing is saved, where
   * the shard is empty or of another epoch, or where cursors that were saved within `ttlMs` may be lost. Never rejects.
   */
  resume(epoch: string, ttlMs: number, devices: readonly Resuming[]): Promise<readonly ResumeOutcome[]>;
  /** The cursors of a stream's devices. */
  cursors(stream: string): Promise<ReadonlyMap<ConnectionKey, Cursor>>;
  /** The devices that streams have cursors of; streams without one are absent. */
  devices(streams: readonly string[]): Promise<ReadonlyMap<string, ReadonlyMap<ConnectionKey, DeviceCursor>>>;
  /** Whether the store can be reached now, for readiness. */
  healthy(): boolean;
  /** Whether the store is at its high-water mark: appends fail with `store_full`, and pushes are to be refused. */
  full(): boolean;
}
