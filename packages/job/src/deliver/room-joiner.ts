import type { PartitionBatch } from '@halley/cluster/grpc/gen/halley/delivery/v1/PartitionBatch';

import type { QueuedDelivery } from './delivery-queue.js';

/**
 * Groups what goes out together by partition, each in the order of its positions. What piled up for a room while the
 * stream was busy so reaches the comet in one message, and the comet joins it into one buffer for the room's members:
 * joined by need, never by waiting.
 */
export function joinByPartition(deliveries: readonly QueuedDelivery[]): PartitionBatch[] {
  const batches = new Map<string, PartitionBatch & { deliveries: QueuedDelivery['message'][] }>();
  for (const { lane, topic, partition, message } of deliveries) {
    const batch = batches.get(lane);
    if (batch) batch.deliveries.push(message);
    else batches.set(lane, { topic, partition, deliveries: [message] });
  }
  return [...batches.values()];
}
