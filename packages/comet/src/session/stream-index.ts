import type { Follower } from './follower.js';

/** The followers of this comet's connections by stream, in chains through themselves. */
export class StreamIndex {
  readonly #first = new Map<string, Follower>();

  /** Streams that are followed. */
  get size(): number {
    return this.#first.size;
  }

  add(follower: Follower): void {
    const first = this.#first.get(follower.stream);
    follower.streamNext = first;
    if (first) first.streamPrevious = follower;
    this.#first.set(follower.stream, follower);
  }

  /** Removes a follower that was added. */
  remove(follower: Follower): void {
    const { stream, streamNext: next, streamPrevious: previous } = follower;
    if (next) next.streamPrevious = previous;
    if (previous) previous.streamNext = next;
    else if (next) this.#first.set(stream, next);
    else this.#first.delete(stream);
    follower.streamNext = undefined;
    follower.streamPrevious = undefined;
  }

  /** The first follower of a stream; the others follow with `streamNext`. */
  first(stream: string): Follower | undefined {
    return this.#first.get(stream);
  }

  /** Calls for each follower; it may remove that one. */
  each(visit: (follower: Follower) => void): void {
    for (const first of this.#first.values()) {
      let follower: Follower | undefined = first;
      while (follower) {
        const { streamNext }: Follower = follower;
        visit(follower);
        follower = streamNext;
      }
    }
  }
}
