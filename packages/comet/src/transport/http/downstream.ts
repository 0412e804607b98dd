import type { OutboxSocket } from '../../delivery/outbox.js';

/** Above so many bytes the owner of the outbox is told when all has left, as Node's sockets do. */
const HIGH_WATER_BYTES = 16 * 1024;

/**
 * What waits for a client that is written to in responses: whole frames, in order. A transport takes from it what a response
 * holds, and says when that has left. Both wait within the bounds of the outbox.
 */
export class Downstream implements OutboxSocket {
  readonly #queue: Uint8Array[] = [];
  #queued = 0;
  #taken = 0;
  #corked = false;
  #ended = false;
  #high = false;
  #onDrain: (() => void) | undefined;

  /** `ready` is called whenever there is something to take, or it has ended. */
  constructor(private readonly ready: () => void) {}

  /** Bytes that were written and have not left: what was taken for a response is among them. */
  get writableLength(): number {
    return this.#queued + this.#taken;
  }

  get writableEnded(): boolean {
    return this.#ended;
  }

  /** Whether nothing is left to take. */
  get empty(): boolean {
    return this.#queued === 0;
  }

  write(bytes: Uint8Array): void {
    if (this.#ended || bytes.length === 0) return;
    this.#queue.push(bytes);
    this.#queued += bytes.length;
    if (this.writableLength > HIGH_WATER_BYTES) this.#high = true;
    if (!this.#corked) this.ready();
  }

  cork(): void {
    this.#corked = true;
  }

  uncork(): void {
    this.#corked = false;
    if (this.#queued > 0) this.ready();
  }

  on(_event: 'drain', listener: () => void): void {
    this.#onDrain = listener;
  }

  /** Takes nothing more; what waits may still be taken. */
  end(): void {
    if (this.#ended) return;
    this.#ended = true;
    this.ready();
  }

  /** Takes from the front what comes to at most so many bytes, and one piece in any case. */
  take(maxBytes: number): readonly Uint8Array[] {
    let bytes = 0;
    let pieces = 0;
    for (const piece of this.#queue) {
      if (pieces > 0 && bytes + piece.length > maxBytes) break;
      bytes += piece.length;
      pieces += 1;
    }
    this.#queued -= bytes;
    this.#taken += bytes;
    return this.#queue.splice(0, pieces);
  }

  /** What was taken has left. */
  left(): void {
    this.#taken = 0;
    if (!this.#high || this.#queued > 0) return;
    this.#high = false;
    this.#onDrain?.call(this);
  }

  /** Forgets what waits: nobody will take it. */
  discard(): void {
    this.#ended = true;
    this.#queue.length = 0;
    this.#queued = 0;
    this.#taken = 0;
  }
}
