import { expect, test } from '@jest/globals';

import { calmIdleTimers, requestQueueClass, type RequestQueue } from './kafka-idle-timers.js';

interface Queue extends RequestQueue {
  pending: unknown[];
  readonly throttleCheckTimeoutId: NodeJS.Timeout | null;
  checkPendingRequests(): void;
  canSendSocketRequestImmediately(): boolean;
  destroy(): void;
}

function makeQueue(): Queue {
  const RequestQueueClass = requestQueueClass() as unknown as new (options: object) => Queue;
  return new RequestQueueClass({ requestTimeout: 1, isConnected: () => true });
}

test('a queue of the client sets its timer only when a request waits', () => {
  calmIdleTimers();
  calmIdleTimers();
  const queue = makeQueue();
  queue.checkPendingRequests();
  expect(queue.throttleCheckTimeoutId).toBe(null);
  queue.canSendSocketRequestImmediately = () => false;
  queue.pending.push({});
  queue.checkPendingRequests();
  expect(queue.throttleCheckTimeoutId).not.toBe(null);
  queue.destroy();
});
