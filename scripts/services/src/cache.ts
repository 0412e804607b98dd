import { randomBytes } from 'node:crypto';
import { existsSync } from 'node:fs';
import { mkdir, open, readdir, readFile, rename, rm } from 'node:fs/promises';
import os from 'node:os';
import path from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';

/** A plain line about what is going on, for a person who waits. */
export type Progress = (line: string) => void;

/** Where fetched services are kept: `HALLEY_CACHE`, else `~/.cache/halley`. */
export function cacheRoot(env: NodeJS.ProcessEnv = process.env): string {
  return env['HALLEY_CACHE']
    ? path.resolve(env['HALLEY_CACHE'])
    : path.join(os.homedir(), '.cache', 'halley');
}

/** Whether the folder `name` of the cache is there, and so whole. */
export function isCached(name: string): boolean {
  return existsSync(path.join(cacheRoot(), name));
}

/**
 * The folder `name` of the cache, made by `fill` when it is missing. `fill` writes into a private folder that is
 * renamed when it is complete, so that a folder that exists is whole, whatever was interrupted. Of several processes
 * one fetches and the others wait for it.
 */
export async function cachedFolder(
  name: string,
  fill: (folder: string) => Promise<void>,
  options: { readonly root?: string; readonly progress?: Progress } = {},
): Promise<string> {
  const root = options.root ?? cacheRoot();
  const folder = path.join(root, name);
  if (existsSync(folder)) return folder;
  await mkdir(root, { recursive: true });
  const release = await lock(`${folder}.lock`, () => existsSync(folder), options.progress);
  if (!release) return folder;
  const partial = `${folder}.partial-${process.pid}-${randomBytes(4).toString('hex')}`;
  try {
    if (existsSync(folder)) return folder;
    await removeAbandoned(root, name);
    await mkdir(partial);
    await fill(partial);
    await rename(partial, folder).catch((error: unknown) => {
      // Another process came first, see lock: its folder is as good as ours.
      if (!existsSync(folder)) throw error;
    });
    return folder;
  } finally {
    await rm(partial, { recursive: true, force: true });
    await release();
  }
}

/** Removes what killed processes left half fetched. */
async function removeAbandoned(root: string, name: string): Promise<void> {
  for (const entry of await readdir(root)) {
    const pid = entry.startsWith(`${name}.partial-`) ? Number(entry.split('-').at(-2)) : 0;
    if (pid > 0 && !isAlive(pid)) await rm(path.join(root, entry), { recursive: true, force: true });
  }
}

/**
 * Takes a lock file that holds our pid; waits for a living holder and removes a dead one's. Two processes that find the
 * same dead holder may both go on in rare cases: then both fetch, and the rename above keeps the result right.
 * Undefined when `done` became true meanwhile.
 */
async function lock(
  file: string,
  done: () => boolean,
  progress: Progress | undefined,
): Promise<(() => Promise<void>) | undefined> {
  for (let told = false; ; await delay(200)) {
    try {
      const handle = await open(file, 'wx');
      await handle.writeFile(String(process.pid));
      await handle.close();
      return () => rm(file, { force: true });
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== 'EEXIST') throw error;
    }
    if (done()) return undefined;
    const holder = Number(await readFile(file, 'utf8').catch(() => ''));
    // Empty for the moment between its creation and its writing.
    if (holder > 0 && !isAlive(holder)) await rm(file, { force: true });
    else if (!told && holder > 0) {
      told = true;
      progress?.(`Waiting for process ${holder}, which is fetching ${path.basename(file, '.lock')}`);
    }
  }
}

/** Whether a process with this pid exists. */
export function isAlive(pid: number): boolean {
  try {
    process.kill(pid, 0);
    return true;
  } catch (error) {
    return (error as NodeJS.ErrnoException).code === 'EPERM';
  }
}
