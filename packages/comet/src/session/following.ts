import type { Follower } from './follower.js';

/** The streams that one connection follows: its user's, and those of the durable rooms that it is in. */
export class Following {
  /** Its user's stream; anonymous connections have none. */
  inbox: Follower | undefined = undefined;
  /** The others, by stream. */
  #others: Map<string, Follower> | undefined = undefined;

  /** The follower of a stream. */
  of(stream: string): Follower | undefined {
    return this.inbox?.stream === stream ? this.inbox : this.#others?.get(stream);
  }

  /** Follows one more stream, which is not its user's, from now on. */
  add(follower: Follower): void {
    this.#others ??= new Map();
    this.#others.set(follower.stream, follower);
    follower.open();
  }

  /** Follows one of the others no longer; nothing happens when it does not. */
  remove(stream: string): void {
    this.#others?.get(stream)?.close();
    this.#others?.delete(stream);
  }

  /** Calls for each follower. */
  each(visit: (follower: Follower) => void): void {
    if (this.inbox) visit(this.inbox);
    if (this.#others) for (const follower of this.#others.values()) visit(follower);
  }

  /** Follows nothing any more: the connection is gone. */
  close(): void {
    this.each((follower) => follower.close());
    this.inbox = undefined;
    this.#others = undefined;
  }
}
