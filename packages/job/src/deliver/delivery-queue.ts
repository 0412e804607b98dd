import type { Delivery } from '@halley/cluster/grpc/gen/halley/delivery/v1/Delivery';

import { Fifo } from '../fifo.js';

/** What became of a push on its way to one comet, or of a push that went to none. */
export type DeliveryResult =
  /** The comet has it in the outboxes of its connections (or had it before). */
  | 'acked'
  /** Its expiry passed before it was sent. */
  | 'expired'
  /** No connection of its targets is known. */
  | 'no_target'
  /** A route names a comet that is not registered. */
  | 'no_comet'
  /** The comet left while it was queued or unacknowledged. */
  | 'comet_left'
  /** The comet made no progress for `link.silentAfterMs`. */
  | 'comet_silent'
  /** The comet's queue was full. */
  | 'queue_full';

export type DeliveryClass = 'durable' | 'ephemeral';

/** A push on its way to one comet. */
export interface QueuedDelivery {
  /** `{topic}/{partition}`. */
  readonly lane: string;
  readonly topic: string;
  readonly partition: number;
  /** Record offset × 1,024 + index: increasing within the lane. */
  readonly position: number;
  readonly message: Delivery;
  /** What it weighs in the queue, in bytes. */
  readonly bytes: number;
  /** Unix milliseconds; 0 is never. */
  readonly expireAtMs: number;
  /** Told once. */
  readonly settle: (result: DeliveryResult) => void;
}

/**
 * What is on its way to one comet, in order: first what waits to be sent, then what was sent and waits for its
 * acknowledgement. Bounded in bytes over both; when it is full, the newest is not taken.
 */
export class DeliveryQueue {
  #unsent = new Fifo<QueuedDelivery>();
  readonly #sent = new Map<string, Fifo<QueuedDelivery>>();
  #bytes = 0;
  #size = 0;

  constructor(private readonly maxBytes: number) {}

  /** Bytes that are queued or unacknowledged. */
  get bytes(): number {
    return this.#bytes;
  }

  /** Deliveries that are queued or unacknowledged. */
  get size(): number {
    return this.#size;
  }

  get hasUnsent(): boolean {
    return this.#unsent.length > 0;
  }

  /** Takes a delivery in; false when there is no room. An empty queue takes any. */
  offer(delivery: QueuedDelivery): boolean {
    if (this.#size > 0 && this.#bytes + delivery.bytes > this.maxBytes) return false;
    this.#unsent.push(delivery);
    this.#bytes += delivery.bytes;
    this.#size += 1;
    return true;
  }

  /** The next deliveries to send, at least one when there is any; what expired by `nowMs` is settled instead. */
  take(maxDeliveries: number, maxBytes: number, nowMs: number): QueuedDelivery[] {
    const taken: QueuedDelivery[] = [];
    let bytes = 0;
    for (let next = this.#unsent.peek(); next !== undefined; next = this.#unsent.peek()) {
      if (taken.length > 0 && (taken.length >= maxDeliveries || bytes + next.bytes > maxBytes)) break;
      this.#unsent.shift();
      if (next.expireAtMs !== 0 && next.expireAtMs <= nowMs) {
        this.#settle(next, 'expired');
        continue;
      }
      taken.push(next);
      bytes += next.bytes;
      let sent = this.#sent.get(next.lane);
      if (!sent) this.#sent.set(next.lane, (sent = new Fifo()));
      sent.push(next);
    }
    return taken;
  }

  /** Settles everything sent of a lane up to and including `position`; answers how many. */
  ack(lane: string, position: number): number {
    const sent = this.#sent.get(lane);
    let count = 0;
    for (let first = sent?.peek(); first !== undefined && first.position <= position; first = sent?.peek()) {
      sent?.shift();
      this.#settle(first, 'acked');
      count += 1;
    }
    return count;
  }

  /** What was sent and not acknowledged is to be sent again, before the rest. */
  rewind(): void {
    const again = new Fifo<QueuedDelivery>();
    for (const sent of this.#sent.values()) for (const delivery of sent.drain()) again.push(delivery);
    this.#sent.clear();
    for (const delivery of this.#unsent.drain()) again.push(delivery);
    this.#unsent = again;
  }

  /** Settles everything, or everything of one lane, with `result`; answers how many. */
  giveUp(result: DeliveryResult, lane?: string): number {
    const before = this.#size;
    for (const [name, sent] of this.#sent) {
      if (lane !== undefined && name !== lane) continue;
      this.#sent.delete(name);
      for (const delivery of sent.drain()) this.#settle(delivery, result);
    }
    const kept = new Fifo<QueuedDelivery>();
    for (const delivery of this.#unsent.drain()) {
      if (lane === undefined || delivery.lane === lane) this.#settle(delivery, result);
      else kept.push(delivery);
    }
    this.#unsent = kept;
    return before - this.#size;
  }

  #settle(delivery: QueuedDelivery, result: DeliveryResult): void {
    this.#bytes -= delivery.bytes;
    this.#size -= 1;
    delivery.settle(result);
  }
}
