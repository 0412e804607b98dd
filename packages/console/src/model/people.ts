import { tidyName } from './names.js';
import type { Shelf } from './shelf.js';

const MAX_PEOPLE = 200;

/** Who is known by name, and who is there. Names are learned from what people send, and kept. */
export class People {
  readonly #names: Map<string, string>;
  readonly #online = new Set<string>();

  constructor(private readonly shelf: Shelf) {
    this.#names = new Map(Object.entries(shelf.read<Record<string, string>>('people') ?? {}));
  }

  get mids(): string[] {
    return [...this.#names.keys()];
  }

  nameOf(mid: string): string {
    if (mid === '0') return 'Server';
    return this.#names.get(mid) ?? `user ${mid.slice(-4)}`;
  }

  isOnline(mid: string): boolean {
    return this.#online.has(mid);
  }

  /** Somebody's name as they say it; true when they were not known. */
  meet(mid: string, said: string | undefined): boolean {
    const name = tidyName(said ?? '');
    if (mid === '0' || name === '' || this.#names.get(mid) === name) return false;
    const isNew = !this.#names.has(mid);
    if (isNew && this.#names.size >= MAX_PEOPLE) return false;
    this.#names.set(mid, name);
    this.shelf.write('people', Object.fromEntries(this.#names));
    return isNew;
  }

  presence(mid: string, online: boolean): void {
    if (online) this.#online.add(mid);
    else this.#online.delete(mid);
  }
}
