import type { SharedPush } from '../delivery/encoded.js';
import type { Hint } from './follower.js';

/** A hint whose turn is decided behind the page that is being read. */
export interface HeldHint {
  readonly hint: Hint;
  readonly push: SharedPush;
}

/** Hints that one stream of one connection holds at most. */
const MAX_OF_ONE = 64;

/** How many hints all connections of a node may hold together, and how many bytes their bodies may have. */
export class HintRoom {
  #hints: number;
  #bytes: number;

  constructor({ hints, bytes } = { hints: 50_000, bytes: 16 * 1_048_576 }) {
    this.#hints = hints;
    this.#bytes = bytes;
  }

  /** Whether there was room for one more. */
  take(bytes: number): boolean {
    if (this.#hints === 0 || this.#bytes < bytes) return false;
    this.#hints -= 1;
    this.#bytes -= bytes;
    return true;
  }

  /** One is held no longer. */
  give(bytes: number): void {
    this.#hints += 1;
    this.#bytes += bytes;
  }
}

/**
 * Hints of one stream that came while it was read, in order. Were they only noted, a stream that gets more than one entry
 * in the time of a read would be read for ever: what came meanwhile would have to be read again.
 */
export class HeldHints {
  #held: HeldHint[] = [];

  constructor(private readonly room: HintRoom) {}

  /** False when there is no room: then it has to be decided at once. */
  add(held: HeldHint): boolean {
    if (this.#held.length >= MAX_OF_ONE || !this.room.take(held.push.bodyBytes)) return false;
    this.#held.push(held);
    return true;
  }

  /** All of them; they are held no longer. */
  drain(): readonly HeldHint[] {
    const held = this.#held;
    this.#held = [];
    for (const { push } of held) this.room.give(push.bodyBytes);
    return held;
  }
}
