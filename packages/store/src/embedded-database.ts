import { resolve } from 'node:path';
import { open, type Database, type RootDatabase } from 'lmdb';

/** The name of the one file that the embedded adapters keep in the data folder. */
export const EMBEDDED_FILE = 'halley.mdb';

/** Tables that one file can hold; bus, streams and archive share it. */
const MAX_TABLES = 64;

/** Keys are tuples: they sort element by element. */
export type EmbeddedKey = (string | number)[];

/** A share in the open file. Whoever opened it releases it; the last release closes the file. */
export interface EmbeddedDatabase {
  /** A table of MessagePack values. */
  table<Value>(name: string): Database<Value, EmbeddedKey>;
  /** A table of raw bytes. */
  bytes(name: string): Database<Buffer, EmbeddedKey>;
  /** Resolves when everything committed so far is on the disk. Commits that wait together share one flush. */
  flushed(): Promise<void>;
  release(): Promise<void>;
}

interface OpenFile {
  readonly root: RootDatabase;
  shares: number;
}

const openFiles = new Map<string, OpenFile>();
const closing = new Map<string, Promise<void>>();

/**
 * Opens the embedded file of `dataDir` (an existing folder), or shares it when this process has it open already: the
 * adapters live in one file, so that one transaction and one flush serve them all. It does not guard against another
 * process; the data folder's lock does.
 */
export async function openEmbeddedDatabase(dataDir: string): Promise<EmbeddedDatabase> {
  const path = resolve(dataDir, EMBEDDED_FILE);
  await closing.get(path);
  let file = openFiles.get(path);
  if (!file) {
    file = { root: open({ path, noSubdir: true, maxDbs: MAX_TABLES }), shares: 0 };
    openFiles.set(path, file);
  }
  file.shares += 1;
  return share(path, file);
}

function share(path: string, file: OpenFile): EmbeddedDatabase {
  const { root } = file;
  let released = false;
  return {
    table: <Value>(name: string) => root.openDB<Value, EmbeddedKey>({ name }),
    bytes: (name) => root.openDB<Buffer, EmbeddedKey>({ name, encoding: 'binary' }),
    flushed: async () => {
      await root.flushed;
    },
    release: async () => {
      if (released) return;
      released = true;
      file.shares -= 1;
      if (file.shares > 0) return;
      openFiles.delete(path);
      const closed = root.close().finally(() => closing.delete(path));
      closing.set(path, closed);
      await closed;
    },
  };
}
