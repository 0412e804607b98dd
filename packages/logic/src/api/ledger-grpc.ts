import { callerOf } from '@halley/cluster/grpc/auth';
import { unary } from '@halley/cluster/grpc/handler';
import type { LedgerServiceHandlers } from '@halley/cluster/grpc/gen/halley/push/v1/LedgerService';

import type { LedgerCalls } from './ledger-calls.js';
import { traceReplyOf } from './ledger-message.js';

/** halley.push.v1.LedgerService. */
export function ledgerGrpc({ ledger }: { readonly ledger: LedgerCalls }): LedgerServiceHandlers {
  return {
    Trace: unary(async ({ id, caller, limit, after }, call) =>
      traceReplyOf(await ledger.trace({ id, caller, limit, after }, callerOf(call)?.name ?? '')),
    ),
  };
}
