import { open, readFile, rename } from 'node:fs/promises';

import type { CursorStore } from './store.js';

export interface FileStoreOptions {
  /** Flushes to the disk before a change counts, for power failures: a crash of the process needs none. Default false. */
  readonly flush?: boolean;
}

/**
 * Keeps in one JSON file, which is written beside and moved into place: it is whole whenever the process ends. The folder
 * must be there. Changes that come while the file is written go together into the next write.
 */
export function fileStore(file: string, { flush = false }: FileStoreOptions = {}): CursorStore {
  const values = new Map<string, string>();
  let writing: Promise<void> | undefined;
  let next: Promise<void> | undefined;

  async function write(): Promise<void> {
    const beside = `${file}.new`;
    const handle = await open(beside, 'w');
    try {
      await handle.writeFile(JSON.stringify(Object.fromEntries(values)));
      if (flush) await handle.datasync();
    } finally {
      await handle.close();
    }
    await rename(beside, file);
  }

  /** One write at a time; whoever comes meanwhile shares the next one. */
  function written(): Promise<void> {
    next ??= (writing ?? Promise.resolve())
      .catch(() => undefined)
      .then(() => {
        writing = next;
        next = undefined;
        return write();
      });
    return next;
  }

  return {
    async load() {
      try {
        const kept = JSON.parse(await readFile(file, 'utf8')) as Readonly<Record<string, string>>;
        for (const [key, value] of Object.entries(kept)) values.set(key, value);
      } catch (error) {
        if ((error as NodeJS.ErrnoException).code !== 'ENOENT') throw error;
      }
      return new Map(values);
    },
    set(key, value) {
      if (value === undefined) values.delete(key);
      else values.set(key, value);
      return written();
    },
  };
}
