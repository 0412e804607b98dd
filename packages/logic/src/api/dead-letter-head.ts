import type { DeadLetterHead } from '@halley/store/dead/dead';

/** A letter without what its record held, as it is told over gRPC and HTTP. */
export function headOf(letter: DeadLetterHead) {
  return {
    id: letter.id,
    at_ms: letter.atMs,
    topic: letter.topic,
    partition: letter.partition,
    offset: letter.offset,
    reason: letter.reason,
    detail: letter.detail,
    value_bytes: letter.valueBytes,
    cut: letter.cut,
    requeued_at_ms: letter.requeuedAtMs,
  };
}
