import { HalleyError } from '@halley/protocol/error';

import type { Clock } from '@halley/service/clock';

import type { ApiKeys } from '../auth/api-key.js';
import type { Trace } from '../ledger/trace.js';
import type { Tracer } from '../ledger/tracer.js';
import type { LogicMetrics } from '../metrics.js';
import { MAX_ID_LENGTH } from '../push/read-push.js';
import { invalid } from '../push/target.js';

export interface LedgerCallsDeps {
  readonly tracer: Pick<Tracer, 'trace'>;
  readonly keys: Pick<ApiKeys, 'allows'>;
  readonly clock: Clock;
  readonly metrics: Pick<LogicMetrics, 'traceSeconds'>;
}

/** A question as it came, over gRPC or HTTP. */
export interface RawTraceAsk {
  readonly id: string;
  /** Absent is whoever asks. */
  readonly caller?: string | undefined;
  /** 0 is the default. */
  readonly limit: number;
  readonly after: string;
}

export const MAX_TRACED_DEVICES = 1_000;
const DEFAULT_DEVICES = 100;

/** Asking what became of pushes, as it is called over gRPC and HTTP. */
export class LedgerCalls {
  constructor(private readonly deps: LedgerCallsDeps) {}

  /** Throws `invalid_argument`, `permission_denied` for another caller's push, and `store_unavailable`. */
  async trace({ id, caller, limit, after }: RawTraceAsk, asker: string): Promise<Trace> {
    if (id === '') throw invalid('id', 'is empty');
    if (id.length > MAX_ID_LENGTH) throw invalid('id', `${id.length} characters, more than ${MAX_ID_LENGTH}`);
    if (limit < 0) throw invalid('limit', 'must not be negative');
    if (limit > MAX_TRACED_DEVICES) throw invalid('limit', `${limit}, more than ${MAX_TRACED_DEVICES}`);
    const whose = caller ?? asker;
    if (whose !== asker && !this.deps.keys.allows(asker, 'trace'))
      throw new HalleyError(
        'permission_denied',
        'caller: to trace the push of another caller takes an API key with the scope trace',
      );
    const { tracer, clock, metrics } = this.deps;
    const sinceMs = clock.monotonicMs();
    const trace = await tracer.trace({
      id,
      caller: whose,
      limit: limit || DEFAULT_DEVICES,
      after: Buffer.from(after, 'base64url').toString(),
    });
    metrics.traceSeconds.observe({ state: trace.state }, (clock.monotonicMs() - sinceMs) / 1_000);
    return { ...trace, next: Buffer.from(trace.next).toString('base64url') };
  }
}
