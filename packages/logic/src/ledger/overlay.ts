import { archivedName } from '@halley/store/archive/stream-name';
import type { LedgerRow } from '@halley/store/ledger/ledger';

import type { FoundDevices } from './devices.js';
import type { Ended } from './ended.js';
import { type DeviceState, noCounts, type TracedDevice, type TracedEntry } from './trace.js';

/**
 * What positions alone do not tell: a device's turn that passed because the push had expired, or because a newer one took
 * its place, looks as if it had been sent. Rows of the ledger name such devices. One for which it still waits, expired, will
 * not be sent it.
 */
export function withExceptions(
  found: FoundDevices,
  entries: readonly TracedEntry[],
  rows: readonly LedgerRow[],
  ended: ReadonlyMap<TracedEntry, Ended>,
): Pick<FoundDevices, 'devices' | 'others'> {
  const entryOf = new Map(entries.map((entry) => [entry.stream, entry]));
  const rowsOf = new Map<string, LedgerRow[]>();
  for (const row of rows) {
    if (row.kind !== 'expired' && row.kind !== 'dropped') continue;
    const known = rowsOf.get(row.stream);
    if (known) known.push(row);
    else rowsOf.set(row.stream, [row]);
  }
  const about = (entry: TracedEntry): readonly LedgerRow[] =>
    (rowsOf.get(archivedName(entry.stream)) ?? rowsOf.get(entry.stream) ?? []).filter(
      ({ position }) => position === entry.position,
    );
  const devices = found.devices.map((device): TracedDevice => {
    const entry = entryOf.get(device.stream);
    const row = entry && about(entry).find(({ keys }) => keys.some((key) => key === device.key));
    return { ...device, state: stateOf(device.state, row?.kind, entry && ended.get(entry)) };
  });
  const others = new Map(
    [...found.others].map(([stream, counts]) => {
      const entry = entryOf.get(stream);
      const named = new Set(devices.filter((device) => device.stream === stream).map(({ key }) => key));
      const unnamed = (entry ? about(entry) : []).reduce(
        (sum, { count, keys }) => sum + count - keys.filter((key) => named.has(key)).length,
        0,
      );
      return [stream, shifted(counts, unnamed, entry && ended.get(entry))] as const;
    }),
  );
  return { devices, others };
}

function stateOf(
  state: DeviceState,
  row: LedgerRow['kind'] | undefined,
  ended: Ended | undefined,
): DeviceState {
  const passed = state === 'sending' || state === 'sent' || state === 'acknowledged';
  if (passed && row === 'expired') return 'expired';
  if (passed && row === 'dropped') return 'dropped';
  return state === 'waiting' && ended ? endOf(ended) : state;
}

/** Of members that are only counted, so many as rows tell of were passed over. */
function shifted(
  counts: Readonly<Record<DeviceState, number>>,
  unnamed: number,
  ended: Ended | undefined,
): Record<DeviceState, number> {
  const now = { ...noCounts(), ...counts };
  let left = Math.max(0, unnamed);
  for (const state of ['acknowledged', 'sent', 'sending'] as const) {
    const moved = Math.min(left, now[state]);
    now[state] -= moved;
    now.expired += moved;
    left -= moved;
  }
  if (ended) {
    now[endOf(ended)] += now.waiting;
    now.waiting = 0;
  }
  return now;
}

function endOf(ended: Ended): 'expired' | 'dropped' {
  return ended === 'collapsed' ? 'dropped' : 'expired';
}
