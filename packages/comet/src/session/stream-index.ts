import type { Inbox } from './inbox.js';

/** The inboxes of this comet's connections by stream, in chains through themselves. */
export class StreamIndex {
  readonly #first = new Map<string, Inbox>();

  /** Streams that are followed. */
  get size(): number {
    return this.#first.size;
  }

  add(inbox: Inbox): void {
    const first = this.#first.get(inbox.stream);
    inbox.streamNext = first;
    if (first) first.streamPrevious = inbox;
    this.#first.set(inbox.stream, inbox);
  }

  /** Removes an inbox that was added. */
  remove(inbox: Inbox): void {
    const { stream, streamNext: next, streamPrevious: previous } = inbox;
    if (next) next.streamPrevious = previous;
    if (previous) previous.streamNext = next;
    else if (next) this.#first.set(stream, next);
    else this.#first.delete(stream);
    inbox.streamNext = undefined;
    inbox.streamPrevious = undefined;
  }

  /** The first inbox of a stream; the others follow with `streamNext`. */
  first(stream: string): Inbox | undefined {
    return this.#first.get(stream);
  }

  /** Calls for each inbox; it may remove that one. */
  each(visit: (inbox: Inbox) => void): void {
    for (const first of this.#first.values()) {
      let inbox: Inbox | undefined = first;
      while (inbox) {
        const { streamNext }: Inbox = inbox;
        visit(inbox);
        inbox = streamNext;
      }
    }
  }
}
