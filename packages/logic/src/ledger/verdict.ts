import type { LedgerRow } from '@halley/store/ledger/ledger';
import type { Schedule } from '@halley/store/schedule/schedules';

import type { Ended } from './ended.js';
import type { DeviceCounts, TracedEntry, TraceState } from './trace.js';

/** What a push is judged by. */
export interface Evidence {
  readonly entries: readonly TracedEntry[];
  /** Its id was taken in within the last day. */
  readonly known: boolean;
  readonly counts: DeviceCounts;
  /** Why entries are not shown any more, of those that are not. */
  readonly ended: ReadonlySet<Ended>;
  readonly schedule: Schedule | undefined;
  readonly rows: readonly LedgerRow[];
}

/** What became of a push as a whole. */
export function stateOf(evidence: Evidence): TraceState {
  const { entries, known, schedule, rows } = evidence;
  if (entries.length > 0) return stateInStreams(evidence);
  if (schedule) return stateOfSchedule(schedule.state, known);
  const kinds = new Set(rows.map(({ kind }) => kind));
  if (known) return 'removed';
  for (const kind of ['dead', 'dropped', 'expired', 'refused'] as const) if (kinds.has(kind)) return kind;
  return 'unknown';
}

function stateInStreams({ counts, ended }: Evidence): TraceState {
  const { waiting, sending, sent, acknowledged, expired, dropped, unknown } = counts;
  if (waiting + sending + unknown > 0) return 'waiting';
  if (sent > 0) return 'sent';
  if (acknowledged > 0) return 'acknowledged';
  if (expired > 0 || ended.has('expired') || ended.has('retention')) return 'expired';
  return dropped > 0 || ended.has('collapsed') ? 'dropped' : 'waiting';
}

function stateOfSchedule(state: Schedule['state'], known: boolean): TraceState {
  switch (state) {
    case 'waiting':
    case 'firing':
      return 'scheduled';
    case 'fired':
      return known ? 'removed' : 'fired';
    case 'cancelled':
      return 'cancelled';
    case 'failed':
      return 'dead';
  }
}
