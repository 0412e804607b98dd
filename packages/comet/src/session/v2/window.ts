import type { Position } from '@halley/store/streams/streams';

export interface WindowLimits {
  /** Entries of a stream that are sent ahead of the client's acknowledgements, at most. */
  readonly windowEntries: number;
  /** Bytes of bodies, likewise; one entry may be larger when nothing else is ahead. */
  readonly windowBytes: number;
}

/** From this part on it is taken to be full for what is read, so that it is read in pages and not one by one. */
const FULL_SHARE = 3 / 4;
/** Once it was full it is open again when no more than this part is ahead. */
const OPEN_SHARE = 1 / 2;

/** Nothing is ahead, as of nearly all connections at nearly all times: they share it. */
const NONE: number[] = [];

/** What of one stream a client was sent and has not acknowledged. */
export class Window {
  #positions: Position[] = NONE;
  #bytes: number[] = NONE;
  /** Index of the oldest that is ahead. */
  #head = 0;
  #bytesAhead = 0;
  #full = false;

  constructor(private readonly limits: WindowLimits) {}

  /** Entries ahead of the acknowledgements. */
  get entries(): number {
    return this.#positions.length - this.#head;
  }

  /** Bytes of their bodies. */
  get bytes(): number {
    return this.#bytesAhead;
  }

  /** Entries that may be sent now. */
  get freeEntries(): number {
    return Math.max(0, this.limits.windowEntries - this.entries);
  }

  /** Bytes that may be sent now. */
  get freeBytes(): number {
    return Math.max(0, this.limits.windowBytes - this.#bytesAhead);
  }

  /** Whether nothing is to be read for it yet. */
  get full(): boolean {
    return this.#full;
  }

  /** Whether an entry with so large a body may be sent now; if not, it is full. */
  admits(bytes: number): boolean {
    const admitted = this.entries === 0 || (this.freeEntries > 0 && this.freeBytes >= bytes);
    if (!admitted) this.#full = true;
    return admitted;
  }

  /** An entry was sent; positions grow. */
  add(position: Position, bytes: number): void {
    if (this.#positions === NONE) {
      this.#positions = [position];
      this.#bytes = [bytes];
    } else {
      this.#positions.push(position);
      this.#bytes.push(bytes);
    }
    this.#bytesAhead += bytes;
    if (this.#exceeds(FULL_SHARE)) this.#full = true;
  }

  /** Everything up to the position was handled. */
  acked(position: Position): void {
    while (this.entries > 0 && (this.#positions[this.#head] as Position) <= position) {
      this.#bytesAhead -= this.#bytes[this.#head] as number;
      this.#head += 1;
    }
    if (this.entries === 0) {
      this.#positions = this.#bytes = NONE;
      this.#head = 0;
    } else if (this.#head > this.#positions.length / 2) {
      this.#positions.splice(0, this.#head);
      this.#bytes.splice(0, this.#head);
      this.#head = 0;
    }
    if (this.entries === 0 || !this.#exceeds(OPEN_SHARE)) this.#full = false;
  }

  /** Nothing is ahead any more. */
  clear(): void {
    this.acked(Number.POSITIVE_INFINITY);
  }

  #exceeds(share: number): boolean {
    const { windowEntries, windowBytes } = this.limits;
    return this.entries > windowEntries * share || this.#bytesAhead > windowBytes * share;
  }
}
