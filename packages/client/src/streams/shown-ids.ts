/** The ids of the messages that were shown last. */
export class ShownIds {
  readonly #ids = new Set<string>();
  readonly #capacity: number;

  constructor(capacity: number) {
    this.#capacity = capacity;
  }

  /** Whether it was shown; if not it is from now on. A message without an id never was. */
  add(id: string): boolean {
    if (id === '') return false;
    if (this.#ids.has(id)) return true;
    this.#ids.add(id);
    const [oldest] = this.#ids;
    if (this.#ids.size > this.#capacity && oldest !== undefined) this.#ids.delete(oldest);
    return false;
  }
}
