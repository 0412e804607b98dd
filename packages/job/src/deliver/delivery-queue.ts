import type { Delivery } from '@halley/cluster/grpc/gen/halley/delivery/v1/Delivery';

import { Fifo } from '../fifo.js';
import { CollapsedHints } from './collapsed-hints.js';

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
  | 'queue_full'
  /** The comet's queue was full, and is told only that the streams have news: they are read. */
  | 'collapsed';

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
  /** The streams that it tells of. */
  readonly streams: readonly string[];
  /** Whether it tells of streams and nothing else. */
  readonly forStreamsOnly: boolean;
  /** What it weighs in the queue, in bytes. */
  readonly bytes: number;
  /** Unix milliseconds; 0 is never. */
  readonly expireAtMs: number;
  /** Told once. */
  readonly settle: (result: DeliveryResult) => void;
}

/**
 * What is on its way to one comet: first what waits to be sent, then what was sent and waits for its acknowledgement. Each
 * lane goes out in the order of its positions. Bounded in bytes over both: when it is full, the newest is not taken, but
 * that streams have news is kept, by stream.
 */
export class DeliveryQueue {
  #unsent = new Fifo<QueuedDelivery>();
  /** How many of the unsent are of each lane. */
  readonly #unsentOf = new Map<string, number>();
  /** Bytes of the unsent that could collapse. */
  #collapsible = 0;
  readonly #sent = new Map<string, Fifo<QueuedDelivery>>();
  readonly #collapsed = new CollapsedHints();
  #bytes = 0;
  #size = 0;

  constructor(private readonly maxBytes: number) {}

  /** Bytes that are queued or unacknowledged. */
  get bytes(): number {
    return this.#bytes + this.#collapsed.bytes;
  }

  /** Deliveries that are queued or unacknowledged, and streams of which only that they have news. */
  get size(): number {
    return this.#size + this.#collapsed.size;
  }

  get hasUnsent(): boolean {
    return this.#unsent.length + this.#collapsed.size > 0;
  }

  /** Takes a delivery in, or settles it when there is no room. An empty queue takes any. */
  offer(delivery: QueuedDelivery): void {
    if (this.size > 0 && this.bytes + delivery.bytes > this.maxBytes) return this.#overflow(delivery);
    this.#bytes += delivery.bytes;
    this.#size += 1;
    this.#enqueue(delivery);
  }

  /** The next deliveries to send, at least one when there is any; what expired by `nowMs` is settled instead. */
  take(maxDeliveries: number, maxBytes: number, nowMs: number): QueuedDelivery[] {
    const taken: QueuedDelivery[] = [];
    let bytes = 0;
    for (;;) {
      for (const hint of this.#takeCollapsed(maxDeliveries - taken.length)) {
        taken.push(hint);
        bytes += hint.bytes;
        this.#bytes += hint.bytes;
        this.#size += 1;
        this.#markSent(hint);
      }
      const next = this.#unsent.peek();
      if (next === undefined || taken.length >= maxDeliveries) return taken;
      if (taken.length > 0 && bytes + next.bytes > maxBytes) return taken;
      this.#dequeue(next);
      if (next.expireAtMs !== 0 && next.expireAtMs <= nowMs) {
        this.#settle(next, 'expired');
        continue;
      }
      taken.push(next);
      bytes += next.bytes;
      this.#markSent(next);
    }
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
    const unsent = this.#drainUnsent();
    for (const sent of this.#sent.values()) for (const delivery of sent.drain()) this.#enqueue(delivery);
    this.#sent.clear();
    for (const delivery of unsent) this.#enqueue(delivery);
  }

  /** Settles everything with `result`; answers how many. */
  giveUp(result: DeliveryResult): number {
    const before = this.#size;
    for (const sent of this.#sent.values())
      for (const delivery of sent.drain()) this.#settle(delivery, result);
    this.#sent.clear();
    for (const delivery of this.#drainUnsent()) this.#settle(delivery, result);
    this.#collapsed.clear();
    return before - this.#size;
  }

  /** Settles everything of one lane as if there had been no room for it; answers how many. */
  giveUpLane(lane: string): number {
    const before = this.#size;
    for (const delivery of this.#sent.get(lane)?.drain() ?? []) this.#refuse(delivery);
    this.#sent.delete(lane);
    for (const delivery of this.#drainUnsent()) {
      if (delivery.lane === lane) this.#refuse(delivery);
      else this.#enqueue(delivery);
    }
    return before - this.#size;
  }

  /** There is no room: what tells of streams is collapsed, once it is a good part of what waits. */
  #overflow(delivery: QueuedDelivery): void {
    if (delivery.streams.length > 0 && this.#collapsible * 4 > this.maxBytes) {
      for (const waiting of this.#drainUnsent()) {
        if (waiting.forStreamsOnly) this.#refuse(waiting);
        else this.#enqueue(waiting);
      }
    }
    this.#collapse(delivery);
  }

  #refuse(delivery: QueuedDelivery): void {
    this.#bytes -= delivery.bytes;
    this.#size -= 1;
    this.#collapse(delivery);
  }

  /** Lets go of a delivery but for the streams that it tells of. */
  #collapse(delivery: QueuedDelivery): void {
    if (delivery.streams.length > 0) this.#collapsed.add(delivery);
    delivery.settle(delivery.forStreamsOnly ? 'collapsed' : 'queue_full');
  }

  /** A collapsed hint waits for what stands before it in its lane. */
  #takeCollapsed(max: number): QueuedDelivery[] {
    if (this.#collapsed.size === 0) return [];
    const next = this.#unsent.peek();
    return this.#collapsed.take(max, (lane) => {
      if (lane === next?.lane) return next.position;
      return this.#unsentOf.has(lane) ? -Infinity : Infinity;
    });
  }

  #enqueue(delivery: QueuedDelivery): void {
    this.#unsent.push(delivery);
    this.#unsentOf.set(delivery.lane, (this.#unsentOf.get(delivery.lane) ?? 0) + 1);
    if (delivery.forStreamsOnly) this.#collapsible += delivery.bytes;
  }

  #dequeue(first: QueuedDelivery): void {
    this.#unsent.shift();
    const left = (this.#unsentOf.get(first.lane) ?? 1) - 1;
    if (left > 0) this.#unsentOf.set(first.lane, left);
    else this.#unsentOf.delete(first.lane);
    if (first.forStreamsOnly) this.#collapsible -= first.bytes;
  }

  #drainUnsent(): QueuedDelivery[] {
    this.#unsentOf.clear();
    this.#collapsible = 0;
    return this.#unsent.drain();
  }

  #markSent(delivery: QueuedDelivery): void {
    let sent = this.#sent.get(delivery.lane);
    if (!sent) this.#sent.set(delivery.lane, (sent = new Fifo()));
    sent.push(delivery);
  }

  #settle(delivery: QueuedDelivery, result: DeliveryResult): void {
    this.#bytes -= delivery.bytes;
    this.#size -= 1;
    delivery.settle(result);
  }
}
