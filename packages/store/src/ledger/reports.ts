import type { ConnectionKey } from '@halley/protocol/ids';
import type { ExceptionReport } from '@halley/service/exception-reports';

import type { LedgerRow } from './ledger.js';

/** The reports of a node as rows. */
export function rowsOf(
  reports: readonly ExceptionReport[],
  tier: LedgerRow['tier'],
  node: string,
): LedgerRow[] {
  return reports.map(({ reportId, position, keys, ...report }) => ({
    ...report,
    rowId: reportId,
    tier,
    node,
    ...(position === undefined ? {} : { position }),
    keys: keys as readonly ConnectionKey[],
  }));
}
