/** What decides which bytes of a message a connection gets. */
export interface Variant {
  /** How frames leave to it: bits of `Format`. */
  readonly format: number;
  readonly accepts: ReadonlySet<number>;
}

interface Counted extends Variant {
  connections: number;
}

/** Most variants at one time: their numbers, and 0, fit into a byte. */
export const MAX_VARIANTS = 255;

/** Numbers the variants that occur among the connections of a node, from 1; 0 is one too many. */
export class Variants {
  readonly #byNumber: (Counted | undefined)[] = [undefined];
  readonly #free: number[] = [];
  readonly #numbers = new Map<ReadonlySet<number>, Map<number, number>>();

  /** The variant of this number. */
  at(number: number): Variant | undefined {
    return this.#byNumber[number];
  }

  /** The number of a variant, for one more connection; whoever got it gives it back. */
  take(format: number, accepts: ReadonlySet<number>): number {
    let numbers = this.#numbers.get(accepts);
    const known = numbers?.get(format);
    if (known !== undefined) {
      (this.#byNumber[known] as Counted).connections += 1;
      return known;
    }
    if (this.#free.length === 0 && this.#byNumber.length > MAX_VARIANTS) return 0;
    const number = this.#free.pop() ?? this.#byNumber.length;
    this.#byNumber[number] = { format, accepts, connections: 1 };
    if (!numbers) this.#numbers.set(accepts, (numbers = new Map()));
    numbers.set(format, number);
    return number;
  }

  giveBack(number: number): void {
    const variant = this.#byNumber[number];
    if (!variant) return;
    variant.connections -= 1;
    if (variant.connections > 0) return;
    this.#byNumber[number] = undefined;
    this.#free.push(number);
    const numbers = this.#numbers.get(variant.accepts);
    numbers?.delete(variant.format);
    if (numbers?.size === 0) this.#numbers.delete(variant.accepts);
  }
}
