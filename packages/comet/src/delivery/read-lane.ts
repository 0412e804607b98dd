import { MAX_READS } from '../logic-link.js';
import type { Pulled } from './stream-reader.js';

export interface ReadLaneOptions {
  /** Calls under way at once. */
  readonly calls: number;
  /** After a failed call a slot stays taken for so long, in milliseconds. */
  readonly restMs: number;
  /** Reads of a call that fails again and again; of one that succeeds there are more and more. */
  readonly minSize: number;
}

/**
 * Streams that are to be read, in order, many to a call. A call fails whole: where that happens it asks for ever fewer, so
 * that a stream whose store is away does not keep the others from being read, and large entries come through.
 */
export class ReadLane {
  #queue: Pulled[] = [];
  #inFlight = 0;
  #size = MAX_READS;

  constructor(readonly options: ReadLaneOptions) {}

  /** Reads of the next call. */
  get size(): number {
    return this.#size;
  }

  push(pulled: Pulled): void {
    this.#queue.push(pulled);
  }

  clear(): void {
    this.#queue = [];
  }

  /** Takes a slot with the streams of one call; undefined when there is no slot or nothing to read. */
  begin(): Pulled[] | undefined {
    if (this.#inFlight >= this.options.calls) return undefined;
    const batch: Pulled[] = [];
    let passed = 0;
    for (const pulled of this.#queue) {
      if (batch.length >= this.#size) break;
      passed += 1;
      if (pulled.pull === 'queued') batch.push(pulled);
    }
    this.#queue.splice(0, passed);
    if (batch.length === 0) return undefined;
    this.#inFlight += 1;
    return batch;
  }

  /** Gives the slot back, after a call that failed or asked for too much, or went well. */
  end(failed: boolean): void {
    this.#inFlight -= 1;
    const { minSize } = this.options;
    // Several calls end in a round: what they may ask for grows slowly, so as not to be far too much with the next.
    if (failed) this.#size = Math.max(minSize, this.#size >> 2);
    else this.#size = Math.min(MAX_READS, this.#size + Math.max(1, this.#size >> 2));
  }
}
