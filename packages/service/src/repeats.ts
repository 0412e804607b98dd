/**
 * Remembers the newest names it was told, to find what comes a second time. A write to the bus that was repeated
 * because its answer was lost stands there twice; both are close together, so a bounded memory finds the second.
 */
export class Repeats {
  readonly #names = new Set<string>();

  constructor(private readonly maxNames = 8_192) {}

  /** Whether the name was told before; remembers it. */
  seen(name: string): boolean {
    if (this.#names.has(name)) return true;
    this.#names.add(name);
    if (this.#names.size > this.maxNames) {
      const oldest = this.#names.values().next().value;
      if (oldest !== undefined) this.#names.delete(oldest);
    }
    return false;
  }
}
