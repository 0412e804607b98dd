import type { RoomId, UserId } from '@halley/protocol/ids';
import { streamOf } from '@halley/store/shard';

import { invalid, MAX_NAME_LENGTH } from '../push/target.js';
import type { HistoryAsk } from '../streams/history.js';

/** A question about the history as it came, over gRPC or HTTP; numbers are decimal and within 64 bits. */
export interface RawHistoryAsk {
  readonly stream: string;
  readonly direction: HistoryAsk['direction'];
  /** Absent is no bound. */
  readonly after?: string | undefined;
  readonly before?: string | undefined;
  /** Empty is not checked. */
  readonly epoch: string;
  /** 0 is no bound. */
  readonly fromMs: string;
  readonly toMs: string;
  /** 0 is the default. */
  readonly limit: number;
}

const DEFAULT_LIMIT = 50;
export const MAX_HISTORY_LIMIT = 1_000;

/** Checks a question against the bus's epoch. Throws `invalid_argument` that names the field. */
export function readHistoryAsk(raw: RawHistoryAsk, epoch: string): HistoryAsk {
  const { stream, direction } = raw;
  if (raw.epoch !== '' && raw.epoch !== epoch) {
    throw invalid('epoch', 'the bus has begun another: positions mean nothing any more, begin without them');
  }
  const after = positionOf('after', raw.after);
  const before = positionOf('before', raw.before);
  if (after !== undefined && before !== undefined && before <= after) {
    throw invalid('before', 'must be above after');
  }
  const fromMs = timeOf('from_ms', raw.fromMs);
  const toMs = timeOf('to_ms', raw.toMs);
  if (toMs !== 0 && toMs <= fromMs) throw invalid('to_ms', 'must be later than from_ms');
  if (raw.limit < 0) throw invalid('limit', 'must not be negative');
  if (raw.limit > MAX_HISTORY_LIMIT) throw invalid('limit', `${raw.limit}, more than ${MAX_HISTORY_LIMIT}`);
  return {
    stream,
    direction,
    maxEntries: raw.limit || DEFAULT_LIMIT,
    ...(after !== undefined && { afterPosition: after }),
    ...(before !== undefined && { beforePosition: before }),
    ...(fromMs !== 0 && { fromMs }),
    ...(toMs !== 0 && { toMs }),
  };
}

/** The stream of a user. Throws `invalid_argument`. */
export function userStream(mid: string): string {
  if (mid === '0') throw invalid('mid', '0 is anonymous, no user');
  return streamOf.user(mid as UserId);
}

/** The stream of a room. Throws `invalid_argument`. */
export function roomStream(room: string): string {
  if (room === '') throw invalid('room', 'is empty; it is {type}://{room}');
  if (room.length > MAX_NAME_LENGTH) {
    throw invalid('room', `${room.length} characters, more than ${MAX_NAME_LENGTH}`);
  }
  return streamOf.room(room as RoomId);
}

function positionOf(field: string, text: string | undefined): number | undefined {
  if (text === undefined) return undefined;
  const position = Number(text);
  if (!Number.isSafeInteger(position) || position < 0) throw invalid(field, `${text} is no position`);
  return position;
}

function timeOf(field: string, text: string): number {
  const time = Number(text);
  if (time < 0) throw invalid(field, 'must not be negative');
  return time;
}
