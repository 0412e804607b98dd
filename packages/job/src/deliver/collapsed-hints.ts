import type { QueuedDelivery } from './delivery-queue.js';

/** What a collapsed hint weighs beside its stream's name, in bytes. */
const HINT_OVERHEAD_BYTES = 64;

interface LaneHints {
  readonly topic: string;
  readonly partition: number;
  /** The newest position of each stream, in the order of the positions when `ordered`. */
  newest: Map<string, number>;
  last: number;
  ordered: boolean;
}

/**
 * What is left of hints for a comet that takes less than comes: of each stream, that it has news up to a position. Bounded
 * by the number of streams that have connections there.
 */
export class CollapsedHints {
  readonly #lanes = new Map<string, LaneHints>();
  #bytes = 0;
  #size = 0;

  /** What they weigh, in bytes. */
  get bytes(): number {
    return this.#bytes;
  }

  /** Streams. */
  get size(): number {
    return this.#size;
  }

  /** Keeps of a delivery the streams that it tells of. */
  add({ lane, topic, partition, position, streams }: QueuedDelivery): void {
    let hints = this.#lanes.get(lane);
    if (!hints) {
      hints = { topic, partition, newest: new Map(), last: position, ordered: true };
      this.#lanes.set(lane, hints);
    }
    if (position < hints.last) hints.ordered = false;
    else hints.last = position;
    for (const stream of streams) {
      const known = hints.newest.get(stream);
      if (known !== undefined && known >= position) continue;
      if (known === undefined) {
        this.#bytes += weightOf(stream);
        this.#size += 1;
      }
      hints.newest.delete(stream);
      hints.newest.set(stream, position);
    }
  }

  /**
   * Takes out at most `max` deliveries, in the order of their positions within each lane. `below` says up to where a lane's
   * may go now: what stands before them goes first.
   */
  take(max: number, below: (lane: string) => number): QueuedDelivery[] {
    const taken: QueuedDelivery[] = [];
    for (const [lane, hints] of this.#lanes) {
      if (taken.length >= max) break;
      if (!hints.ordered) order(hints);
      const limit = below(lane);
      let streams: string[] = [];
      let at: number | undefined;
      for (const [stream, position] of hints.newest) {
        if (position >= limit) break;
        if (position !== at) {
          if (at !== undefined) taken.push(this.#deliveryOf(lane, hints, at, streams));
          at = undefined;
          if (taken.length >= max) break;
          at = position;
          streams = [];
        }
        streams.push(stream);
      }
      if (at !== undefined) taken.push(this.#deliveryOf(lane, hints, at, streams));
      if (hints.newest.size === 0) this.#lanes.delete(lane);
    }
    return taken;
  }

  clear(): void {
    this.#lanes.clear();
    this.#bytes = 0;
    this.#size = 0;
  }

  /** One position's streams together: comet takes each position once. */
  #deliveryOf(
    lane: string,
    { topic, partition, newest }: LaneHints,
    position: number,
    streams: readonly string[],
  ): QueuedDelivery {
    let bytes = 0;
    for (const stream of streams) {
      newest.delete(stream);
      bytes += weightOf(stream);
    }
    this.#bytes -= bytes;
    this.#size -= streams.length;
    return {
      lane,
      topic,
      partition,
      position,
      message: {
        position,
        class: 'CLASS_DURABLE',
        // What stands before is not known any more: it is read.
        streams: streams.map((stream) => ({ stream, prev: position })),
        without_body: true,
      },
      streams,
      forStreamsOnly: true,
      bytes,
      expireAtMs: 0,
      settle: () => undefined,
    };
  }
}

function weightOf(stream: string): number {
  return HINT_OVERHEAD_BYTES + stream.length;
}

function order(hints: LaneHints): void {
  hints.newest = new Map([...hints.newest].sort(([, a], [, b]) => a - b));
  hints.ordered = true;
}
