import type { ExceptionReport__Output } from '@halley/cluster/grpc/gen/halley/delivery/v1/ExceptionReport';
import type { ConnectionKey } from '@halley/protocol/ids';
import { type LedgerRow, MAX_LEDGER_KEYS } from '@halley/store/ledger/ledger';

import { invalid } from '../push/target.js';

/** Reports of one call. */
const MAX_REPORTS = 1_000;
const KINDS: readonly string[] = [
  'expired',
  'dropped',
  'dead',
  'refused',
  'lost',
] satisfies LedgerRow['kind'][];

/** What a comet reports, as the ledger keeps it. Throws `invalid_argument`. */
export function rowsOf(reports: readonly ExceptionReport__Output[], node: string): LedgerRow[] {
  if (reports.length > MAX_REPORTS) throw invalid('reports', `${reports.length}, more than ${MAX_REPORTS}`);
  return reports.map((report, index) => {
    const { report_id: rowId, id, caller, kind, reason, stream, position, keys } = report;
    if (rowId.length !== 16) throw invalid(`reports[${index}].report_id`, 'is not of 16 bytes');
    if (!KINDS.includes(kind)) throw invalid(`reports[${index}].kind`, 'is none');
    return {
      rowId,
      id,
      caller,
      kind: kind as LedgerRow['kind'],
      reason,
      tier: 'comet',
      node,
      stream,
      ...(position === undefined ? {} : { position: Number(position) }),
      keys: keys.slice(0, MAX_LEDGER_KEYS) as ConnectionKey[],
      count: Number(report.count),
      atMs: Number(report.at_ms),
      lastAtMs: Number(report.last_at_ms),
    };
  });
}
