import { createRequire } from 'node:module';

/** What is used of the client's queue of requests, one per connection to a broker. */
export interface RequestQueue {
  /** Requests that wait because others are in flight, or because the broker asked for a pause. */
  readonly pending: readonly unknown[];
  /** Looks after what waits, later. */
  scheduleCheckPendingRequests(): void;
}

/** The class of {@link RequestQueue}; not of the client's public interface. */
export function requestQueueClass(): { readonly prototype: RequestQueue } {
  return createRequire(import.meta.url)('kafkajs/src/network/requestQueue') as {
    readonly prototype: RequestQueue;
  };
}

const calmed = new WeakSet<RequestQueue>();

/**
 * kafkajs (2.2.4) sets a timer after every answer of a broker to look after requests that wait, also when none do. Its time
 * lies in the past, so it ends a millisecond later, and sets itself again: from the first answer on a process wakes a
 * thousand times a second, which costs an idle node more than a hundred pushes a second do. Here the timer is only set
 * when something waits; what comes to wait later sets it by itself. May be called more than once.
 */
export function calmIdleTimers(queueClass = requestQueueClass()): void {
  const { prototype } = queueClass;
  const schedule = Object.getOwnPropertyDescriptor(prototype, 'scheduleCheckPendingRequests')
    ?.value as unknown;
  // Another version may have other ways.
  if (typeof schedule !== 'function' || calmed.has(prototype)) return;
  calmed.add(prototype);
  prototype.scheduleCheckPendingRequests = function scheduleCheckPendingRequests(this: RequestQueue): void {
    if (this.pending.length > 0) schedule.call(this);
  };
}
