/** Looked up once: in jest each look-up of a global goes through the test's sandbox. */
const { floor, imul } = Math;

/** A seeded generator (mulberry32), so that a run can be repeated. */
export class Random {
  #state: number;

  constructor(seed: number) {
    this.#state = seed >>> 0;
  }

  /** A whole number from 0 to `limit` - 1. */
  below(limit: number): number {
    return floor((this.#next() / 2 ** 32) * limit);
  }

  int32(): number {
    return this.#next() | 0;
  }

  int16(): number {
    return (this.#next() << 16) >> 16;
  }

  bytes(length: number): Buffer {
    const out = Buffer.alloc(length);
    for (let i = 0; i < length; i += 1) out[i] = this.#next();
    return out;
  }

  pick<Item>(items: readonly Item[]): Item {
    return items[this.below(items.length)] as Item;
  }

  /** Whether something of this probability, 0 to 1, happens. */
  chance(probability: number): boolean {
    return this.#next() < probability * 2 ** 32;
  }

  /** The items in another order, each equally likely. */
  shuffled<Item>(items: readonly Item[]): Item[] {
    const out = [...items];
    for (let last = out.length - 1; last > 0; last -= 1) {
      const other = this.below(last + 1);
      [out[last], out[other]] = [out[other] as Item, out[last] as Item];
    }
    return out;
  }

  #next(): number {
    this.#state = (this.#state + 0x6d2b79f5) | 0;
    let mixed = imul(this.#state ^ (this.#state >>> 15), 1 | this.#state);
    mixed = (mixed + imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed;
    return (mixed ^ (mixed >>> 14)) >>> 0;
  }
}
