import type { Service } from '@halley/service/lifecycle';

import type { RecurringStore } from './recurring.js';

/**
 * waiting → firing (it is being written to the bus, perhaps again) → fired, or failed: the bus takes nothing as large, or it
 * cannot be read. waiting → cancelled.
 */
export type ScheduleState = 'waiting' | 'firing' | 'fired' | 'cancelled' | 'failed';

/** A member is delivered with its digest, and never by itself. */
export type ScheduleKind = 'push' | 'digest' | 'member';

/** What every kind has. Times are Unix milliseconds. */
interface NewRow {
  /** Who pushed: the API key's name. */
  readonly caller: string;
  /** Unique for the caller. */
  readonly id: string;
  /** Stands for what the caller means by the id: the content, but no times. */
  readonly digest: string;
  /** When logic took it. */
  readonly acceptedAtMs: number;
  /** 0 is never. */
  readonly expireAtMs: number;
}

/** A push that waits for its time. */
export interface NewPush extends NewRow {
  readonly kind: 'push';
  readonly dueAtMs: number;
  /** A `halley.delivery.v1.Scheduled`, which has no body. */
  readonly content: Uint8Array;
  readonly body: Uint8Array;
}

/** A push that waits for others of its group. */
export interface NewMember extends NewRow {
  readonly kind: 'member';
  /** Tells the caller's groups apart: group key, target, operation and class. At most 255 bytes. */
  readonly group: string;
  /** Its item in the digest, JSON: the row's body. */
  readonly item: Uint8Array;
  /** The digest is due so long after the first member came, by the store's clock, … */
  readonly windowMs: number;
  /** … or with so many. */
  readonly maxCount: number;
  /** A member with whose item the digest's items would exceed this, each with a comma, opens another; the full one is due. */
  readonly maxBytes: number;
  /** The digest that it opens where none is open: its id, and a `halley.delivery.v1.Scheduled`. */
  readonly opens: { readonly id: string; readonly content: Uint8Array };
}

export type NewSchedule = NewPush | NewMember;

/** What became of one that was put. */
export type PutAnswer =
  | { readonly outcome: 'put'; readonly dueAtMs: number }
  /** It was put before, and waits, fires or has fired. */
  | { readonly outcome: 'duplicate'; readonly dueAtMs: number }
  /** The id is that of another content. */
  | { readonly outcome: 'conflict' }
  /** It was put before, and cancelled or failed. */
  | { readonly outcome: 'ended' };

/** A row as it stands. */
export interface Schedule extends NewRow {
  readonly kind: ScheduleKind;
  readonly state: ScheduleState;
  /** A member has that of its digest. */
  readonly dueAtMs: number;
  /** When it was first leased to be fired; undefined is not yet. */
  readonly firedAtMs: number | undefined;
  /** When it was fired, cancelled or failed; undefined is not yet. */
  readonly endedAtMs: number | undefined;
  /** Empty for a member. */
  readonly content: Uint8Array;
  readonly bodyBytes: number;
  /** Of a member: the id of its digest. */
  readonly digestId: string | undefined;
  /** Of a digest: its members, without the cancelled. */
  readonly members: number;
  /** Of an occurrence: the name of its recurring push. */
  readonly recurring: string | undefined;
}

export interface ListQuery {
  readonly caller: string;
  readonly states: readonly ScheduleState[];
  /** The place of the last row of the page before; undefined is from the beginning. */
  readonly after?: SchedulePlace | undefined;
  readonly limit: number;
}

/** Where a row stands in a list: by time, then in the order of acceptance. */
export interface SchedulePlace {
  readonly dueAtMs: number;
  readonly seq: number;
}

/** One that is to be fired now. */
export interface LeasedSchedule {
  /** Names the row for {@link Schedules.finish}. Unique while the row exists; grows with each that is put. */
  readonly seq: number;
  readonly caller: string;
  readonly id: string;
  readonly dueAtMs: number;
  readonly expireAtMs: number;
  /** The time of acceptance that its push has: when it was first leased, and the same each time for an hour. */
  readonly firedAtMs: number;
  /** Whether it was leased before: its push may be in the bus already. */
  readonly again: boolean;
  readonly content: Uint8Array;
  /** Empty for a digest. */
  readonly body: Uint8Array;
  /** Of a digest, in the order in which they came; undefined of a push. */
  readonly members: readonly LeasedMember[] | undefined;
}

export interface LeasedMember {
  readonly id: string;
  readonly acceptedAtMs: number;
  readonly item: Uint8Array;
}

export interface Lease {
  /** The store's time, Unix milliseconds. */
  readonly nowMs: number;
  /** In the order in which they are to be written; of a caller, that of their times, then of their acceptance. */
  readonly rows: readonly LeasedSchedule[];
}

export interface LeaseLimits {
  readonly maxRows: number;
  /** Of contents and bodies; one row is leased however large it is. */
  readonly maxBytes: number;
  /** How long nobody else is given rows of the same callers, unless {@link Schedules.finish} ends it. */
  readonly leaseMs: number;
}

/** What is next, so that a job can sleep until then. Absolute times by the store's clock; undefined is never. */
export interface NextDue {
  readonly nowMs: number;
  readonly scheduleAtMs: number | undefined;
  readonly recurringAtMs: number | undefined;
}

/**
 * Pushes that wait for their time. It is the store's clock that decides what is due; nothing is leased before.
 *
 * A caller's rows are leased to one owner at a time, in order, so that two jobs neither do the same work nor overtake each
 * other. A lease that ran out is given to another, and the same rows again, in the same order: who had it may still write
 * them. The bus may so have a push twice, with the same id; the first in it counts.
 *
 * Methods throw HalleyError `store_unavailable` when the store cannot be reached in time; what changes something may then
 * have been carried out, and can be repeated. `put` tells: `store_unavailable` is not done, `schedule_unknown` is not known.
 */
export interface Schedules extends RecurringStore, Service {
  /** Puts rows, all in one transaction, and answers each, in their order. */
  put(rows: readonly NewSchedule[]): Promise<readonly PutAnswer[]>;
  /**
   * Cancels what waits. One that was cancelled before is answered so again. The last member that is cancelled cancels its
   * digest; a digest, its members.
   */
  cancel(caller: string, id: string): Promise<'cancelled' | 'too_late' | 'not_found'>;
  get(caller: string, id: string): Promise<(Schedule & { readonly body: Uint8Array }) | undefined>;
  /** A page, by place; fewer rows than the limit where their contents are large. */
  list(query: ListQuery): Promise<{
    readonly rows: readonly Schedule[];
    /** The place of the last row when there are more. */
    readonly next: SchedulePlace | undefined;
  }>;
  next(): Promise<NextDue>;
  /** Leases rows that are due, at most as many as the limits allow. A member's time to be cancelled ends here. */
  lease(owner: string, limits: LeaseLimits): Promise<Lease>;
  /** Prolongs what the owner has leased, counted from now. */
  renew(owner: string, leaseMs: number): Promise<void>;
  /** Marks leased rows as fired or failed, and ends the owner's leases. */
  finish(owner: string, ended: readonly FinishedSchedule[]): Promise<void>;
  /** Removes some of the rows that ended at least `keepMs` ago; answers how many. */
  retain(keepMs: number): Promise<number>;
  /** Whether the store can be reached now. */
  healthy(): boolean;
}

export interface FinishedSchedule {
  readonly seq: number;
  readonly state: 'fired' | 'failed';
}

/** Of the contents of a page of {@link Schedules.list}. */
export const LIST_MAX_BYTES = 2 * 1_048_576;

/** Rows that {@link Schedules.retain} removes at once. */
export const RETAIN_ROWS = 500;

/** After so long in firing, its push is given a newer time of acceptance: ids are known for 24 h from that. */
export const REFRESH_FIRED_MS = 3_600_000;

/** The first rows that have so many bytes together; `one`: the first in any case. */
export function fitting<Row extends { readonly bytes: number }>(
  rows: readonly Row[],
  maxBytes: number,
  one: boolean,
): readonly Row[] {
  let bytes = 0;
  const end = rows.findIndex((row, index) => {
    bytes += row.bytes;
    return bytes > maxBytes && (index > 0 || !one);
  });
  return end === -1 ? rows : rows.slice(0, end);
}

/** What is answered for a row that is there already. */
export function answerFor(
  there: { readonly digest: string; readonly state: ScheduleState; readonly dueAtMs: number },
  digest: string,
): PutAnswer {
  if (there.digest !== digest) return { outcome: 'conflict' };
  if (there.state === 'cancelled' || there.state === 'failed') return { outcome: 'ended' };
  return { outcome: 'duplicate', dueAtMs: there.dueAtMs };
}

/** The later of two times of which 0 is never. */
export function later(one: number, other: number): number {
  return one === 0 || other === 0 ? 0 : Math.max(one, other);
}
