import type { CursorStore } from './store.js';

/** Keeps nothing beyond the client's life: a restart begins where the server says. */
export function memoryStore(): CursorStore {
  const values = new Map<string, string>();
  return {
    load: () => new Map(values),
    set(key, value) {
      if (value === undefined) values.delete(key);
      else values.set(key, value);
    },
  };
}
