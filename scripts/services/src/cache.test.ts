import { existsSync } from 'node:fs';
import { mkdir, mkdtemp, readFile, readdir, rm, writeFile } from 'node:fs/promises';
import os from 'node:os';
import path from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { afterEach, beforeEach, expect, test } from '@jest/globals';
import { cachedFolder, cacheRoot } from './cache.js';

/** Above the largest pid of Linux: nobody has it. */
const DEAD_PID = 2 ** 22 + 1;

let root: string;

beforeEach(async () => {
  root = await mkdtemp(path.join(os.tmpdir(), 'halley-cache-'));
});

afterEach(() => rm(root, { recursive: true }));

test('HALLEY_CACHE says where the cache is', () => {
  expect(cacheRoot({ HALLEY_CACHE: '/somewhere' })).toBe('/somewhere');
  expect(cacheRoot({})).toBe(path.join(os.homedir(), '.cache', 'halley'));
});

test('of several that need a folder at once one fills it, and all get it whole', async () => {
  let filled = 0;
  const fill = async (folder: string): Promise<void> => {
    filled += 1;
    await writeFile(path.join(folder, 'first'), '1');
    await delay(50);
    await writeFile(path.join(folder, 'second'), '2');
  };
  const folders = await Promise.all(Array.from({ length: 5 }, () => cachedFolder('a', fill, { root })));
  expect(new Set(folders)).toEqual(new Set([path.join(root, 'a')]));
  expect(filled).toBe(1);
  expect(await readdir(root)).toEqual(['a']);
  expect(await readdir(path.join(root, 'a'))).toEqual(['first', 'second']);
});

test('a fetch that fails leaves nothing, and the next one tries again', async () => {
  const failing = cachedFolder('a', () => Promise.reject(new Error('no network')), { root });
  await expect(failing).rejects.toThrow('no network');
  expect(await readdir(root)).toEqual([]);
  await cachedFolder('a', (folder) => writeFile(path.join(folder, 'x'), 'y'), { root });
  expect(await readFile(path.join(root, 'a', 'x'), 'utf8')).toBe('y');
});

test('the lock and the half of a killed process are removed', async () => {
  await writeFile(path.join(root, 'a.lock'), String(DEAD_PID));
  await mkdir(path.join(root, `a.partial-${DEAD_PID}-00`));
  await cachedFolder('a', () => Promise.resolve(), { root });
  expect(await readdir(root)).toEqual(['a']);
  expect(existsSync(path.join(root, 'a'))).toBe(true);
});
