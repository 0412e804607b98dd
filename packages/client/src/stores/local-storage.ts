import type { CursorStore } from './store.js';

/** What is used of the browsers' `localStorage`. */
export interface StorageLike {
  readonly length: number;
  key(index: number): string | null;
  getItem(key: string): string | null;
  setItem(key: string, value: string): void;
  removeItem(key: string): void;
}

/**
 * Keeps in the browser's localStorage, under keys that begin with `halley:{name}:`. `name` is the user's and the device's:
 * a tab that is open beside another one needs a name, and a connection key, of its own.
 */
export function localStorageStore(
  name: string,
  storage: StorageLike = (globalThis as unknown as { localStorage: StorageLike }).localStorage,
): CursorStore {
  const prefix = `halley:${name}:`;
  return {
    load() {
      const values = new Map<string, string>();
      for (let index = 0; index < storage.length; index += 1) {
        const key = storage.key(index);
        if (key?.startsWith(prefix)) values.set(key.slice(prefix.length), storage.getItem(key) ?? '');
      }
      // The browser has an order of its own; keys that count sort by it.
      return new Map([...values].sort(([a], [b]) => (a < b ? -1 : 1)));
    },
    set(key, value) {
      if (value === undefined) storage.removeItem(prefix + key);
      else storage.setItem(prefix + key, value);
    },
  };
}
