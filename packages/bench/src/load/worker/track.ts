/** What a message was in the sequence of its sender; `missing` is how many more, or fewer, are missing by it. */
export interface Place {
  readonly was: 'next' | 'late' | 'repeated';
  readonly missing: number;
}

const NEXT: Place = { was: 'next', missing: 0 };
const REPEATED: Place = { was: 'repeated', missing: 0 };
const WINDOW = 64;

/**
 * What a connection has seen of one sender, in bounded memory: the newest sequence, and which of the 64 before came. The sum
 * of all `missing` is what lies between the first and the newest, without those that came.
 */
export class Track {
  #first = 0;
  /** 0: nothing yet. */
  #newest = 0;
  /** Bit i, of the low half and then the high one: `#newest` - 1 - i came. */
  #low = 0;
  #high = 0;

  take(sequence: number): Place {
    if (this.#newest === 0) {
      this.#first = sequence;
      this.#newest = sequence;
      return NEXT;
    }
    if (sequence > this.#newest) return this.#goOn(sequence);
    const bit = this.#newest - sequence - 1;
    if (bit < 0 || bit >= WINDOW || this.#has(bit)) return REPEATED;
    this.#add(bit);
    if (sequence > this.#first) return { was: 'late', missing: -1 };
    const missing = this.#first - sequence - 1;
    this.#first = sequence;
    return { was: 'late', missing };
  }

  #goOn(sequence: number): Place {
    const step = sequence - this.#newest;
    this.#newest = sequence;
    this.#shift(step);
    if (step <= WINDOW) this.#add(step - 1);
    return step === 1 ? NEXT : { was: 'next', missing: step - 1 };
  }

  #shift(count: number): void {
    if (count >= WINDOW) {
      this.#low = 0;
      this.#high = 0;
    } else if (count >= 32) {
      this.#high = this.#low << (count - 32);
      this.#low = 0;
    } else {
      this.#high = (this.#high << count) | (this.#low >>> (32 - count));
      this.#low <<= count;
    }
  }

  #has(bit: number): boolean {
    return ((bit < 32 ? this.#low >>> bit : this.#high >>> (bit - 32)) & 1) === 1;
  }

  #add(bit: number): void {
    if (bit < 32) this.#low |= 1 << bit;
    else this.#high |= 1 << (bit - 32);
  }
}
