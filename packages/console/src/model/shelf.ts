/** What is used of the browsers' `localStorage` and `sessionStorage`. */
export interface Storage {
  getItem(key: string): string | null;
  setItem(key: string, value: string): void;
  removeItem(key: string): void;
}

/** Small things kept as JSON, under keys that begin with `halley-chat:{name}:`. What can't be kept is forgotten with the page. */
export class Shelf {
  constructor(
    private readonly storage: Storage,
    private readonly name: string,
  ) {}

  read<T>(key: string): T | undefined {
    try {
      const text = this.storage.getItem(this.#key(key));
      return text === null ? undefined : (JSON.parse(text) as T);
    } catch {
      return undefined;
    }
  }

  write(key: string, value: unknown): void {
    try {
      if (value === undefined) this.storage.removeItem(this.#key(key));
      else this.storage.setItem(this.#key(key), JSON.stringify(value));
    } catch {
      // A full or forbidden storage: the page works on without.
    }
  }

  #key(key: string): string {
    return `halley-chat:${this.name}:${key}`;
  }
}
