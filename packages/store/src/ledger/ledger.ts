import type { ConnectionKey } from '@halley/protocol/ids';
import type { ExceptionKind } from '@halley/service/exceptions';
import type { Service } from '@halley/service/lifecycle';

import type { Position } from '../streams/streams.js';

/** Devices that a row names; the others are counted. */
export const MAX_LEDGER_KEYS = 32;

/** Something that went wrong with a push, once or several times. */
export interface LedgerRow {
  /** 16 bytes that name the row: one that is written again is there once. They sort by time (UUIDv7). */
  readonly rowId: Uint8Array;
  /** The push; empty in rows of kind `lost`. */
  readonly id: string;
  /** Who pushed it; empty where no API key is required. */
  readonly caller: string;
  /** `lost`: so many reports were lost between the two times. */
  readonly kind: ExceptionKind | 'lost';
  readonly reason: string;
  readonly tier: 'logic' | 'job' | 'comet';
  readonly node: string;
  /** The first time and the last time, Unix milliseconds. */
  readonly atMs: number;
  readonly lastAtMs: number;
  /** Empty where it is not known. */
  readonly stream: string;
  /** Absent of what is not kept. */
  readonly position?: Position;
  /** Some of the devices that it is about, at most {@link MAX_LEDGER_KEYS}. */
  readonly keys: readonly ConnectionKey[];
  /** Of how many devices or messages. */
  readonly count: number;
}

/** What a ledger lets go of. */
export interface LedgerRetention {
  /** Rows of which the last time is earlier go. Unix milliseconds. */
  readonly sinceMs: number;
  /** Of more rows, the oldest go. */
  readonly maxRows: number;
}

/**
 * What went wrong with pushes: the part of the ledger that cannot be read from the messages themselves. Rows are kept for
 * some days. Methods throw HalleyError `store_unavailable` when the store cannot be reached in time.
 */
export interface Ledger extends Service {
  /** Writes rows, those that are not there yet: a write whose outcome is unknown is simply repeated. */
  write(rows: readonly LedgerRow[]): Promise<void>;
  /** Rows of the push of this caller, the oldest first, at most `max`, and how many there are in all. */
  find(
    caller: string,
    id: string,
    max: number,
  ): Promise<{ readonly rows: readonly LedgerRow[]; readonly all: number }>;
  /** How many reports were lost, of any push, at or after a time. */
  lostSince(sinceMs: number): Promise<number>;
  /** Lets rows go, a bounded amount a call; answers how many went. Several nodes may call it at once. */
  retain(retention: LedgerRetention): Promise<number>;
}

/** Keeps nothing and knows nothing, where there is no ledger. */
export const NO_LEDGER: Ledger = {
  name: 'no ledger',
  start: async () => undefined,
  stop: async () => undefined,
  write: async () => undefined,
  find: async () => ({ rows: [], all: 0 }),
  lostSince: async () => 0,
  retain: async () => 0,
};
