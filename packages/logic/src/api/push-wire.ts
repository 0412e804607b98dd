import type { PushBatchReply } from '@halley/cluster/grpc/gen/halley/push/v1/PushBatchReply';
import type { PushResult } from '@halley/cluster/grpc/gen/halley/push/v1/PushResult';
import { plainEncoder, protos } from '@halley/cluster/grpc/protos';

const { service } = protos.halley.push.v1.PushService;
const encodeReply = plainEncoder<object>('halley.push.v1.PushBatchReply');

/** Of the enum `Outcome`, by name. */
const OUTCOMES: Readonly<Record<string, number>> = {
  OUTCOME_OK: 1,
  OUTCOME_REFUSED: 2,
  OUTCOME_UNKNOWN: 3,
};

/** The service as the proto has it; the answers of batches are encoded without making objects of their classes first. */
export const pushService: typeof service = {
  ...service,
  PushBatch: { ...service.PushBatch, responseSerialize: encodeBatchReply },
};

function encodeBatchReply({ results = [] }: PushBatchReply): Buffer {
  return encodeReply({ results: results.map(plainResult) });
}

/** Fields that are as if they were not there are left out, as the wire has it. */
function plainResult(result: PushResult): object {
  const outcome = OUTCOMES[result.outcome ?? ''] ?? 0;
  if (result.code === undefined && !result.duplicate && !result.deliver_at_ms) {
    return { id: result.id, outcome };
  }
  return { ...result, outcome };
}
