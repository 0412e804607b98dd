import { mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import os from 'node:os';
import path from 'node:path';

import { afterEach, beforeEach, describe, expect, test } from '@jest/globals';

import { fileStore } from './file.js';
import { localStorageStore, type StorageLike } from './local-storage.js';
import { memoryStore } from './memory.js';
import type { CursorStore } from './store.js';

let dir = '';

beforeEach(async () => {
  dir = await mkdtemp(path.join(os.tmpdir(), 'halley-client-'));
});

afterEach(() => rm(dir, { recursive: true, force: true }));

/** As browsers have it; its order is the reverse of what was set, so that nobody counts on one. */
class FakeStorage implements StorageLike {
  readonly values = new Map<string, string>();

  get length(): number {
    return this.values.size;
  }

  key(index: number): string | null {
    return [...this.values.keys()].toReversed()[index] ?? null;
  }

  getItem(key: string): string | null {
    return this.values.get(key) ?? null;
  }

  setItem(key: string, value: string): void {
    this.values.set(key, value);
  }

  removeItem(key: string): void {
    this.values.delete(key);
  }
}

/** Each store, and what opens it again as a later start would. */
const STORES: readonly (readonly [string, () => () => CursorStore])[] = [
  [
    'memory',
    () => {
      const store = memoryStore();
      return () => store;
    },
  ],
  [
    'localStorage',
    () => {
      const storage = new FakeStorage();
      return () => localStorageStore('me', storage);
    },
  ],
  ['a file', () => () => fileStore(path.join(dir, 'cursors.json'))],
];

describe.each(STORES)('%s', (_name, make) => {
  test('is empty at first, and keeps what was set last', async () => {
    const open = make();
    const store = open();
    expect(await store.load()).toEqual(new Map());
    await store.set('a', '1');
    await store.set('b', '2');
    await store.set('a', '3');
    await store.set('b', undefined);
    await store.set('c://{"x"}', 'é');
    expect(await open().load()).toEqual(
      new Map([
        ['a', '3'],
        ['c://{"x"}', 'é'],
      ]),
    );
  });

  test('of changes at the same time the later one counts', async () => {
    const open = make();
    const store = open();
    await store.load();
    await Promise.all(Array.from({ length: 50 }, async (_, index) => store.set('a', String(index))));
    expect(await open().load()).toEqual(new Map([['a', '49']]));
  });
});

test('names of localStorage do not meet', async () => {
  const storage = new FakeStorage();
  await localStorageStore('me', storage).set('a', '1');
  expect(await localStorageStore('me:2', storage).load()).toEqual(new Map());
});

describe('the file', () => {
  test('is whole whenever it is read, and nothing is left beside it', async () => {
    const file = path.join(dir, 'cursors.json');
    const store = fileStore(file, { flush: true });
    await store.set('a', 'x'.repeat(100_000));
    const writes = Promise.all(
      Array.from({ length: 20 }, async (_, index) => store.set(`b${index}`, 'y'.repeat(10_000))),
    );
    for (let read = 0; read < 20; read += 1) {
      expect(JSON.parse(await readFile(file, 'utf8'))).toHaveProperty('a');
    }
    await writes;
    expect(await readdir(dir)).toEqual(['cursors.json']);
  });

  test('that is broken is told, and not begun anew', async () => {
    const file = path.join(dir, 'cursors.json');
    await writeFile(file, '{"a":');
    await expect(fileStore(file).load()).rejects.toThrow(SyntaxError);
  });

  test('that can not be written is told, and tried again by the next change', async () => {
    const file = path.join(dir, 'away', 'cursors.json');
    const store = fileStore(file);
    await expect(store.set('a', '1')).rejects.toMatchObject({ code: 'ENOENT' });
    await expect(store.set('a', '2')).rejects.toMatchObject({ code: 'ENOENT' });
  });
});
