import { randomUUID } from 'node:crypto';
import { link, mkdir, readFile, rm, stat, writeFile } from 'node:fs/promises';
import { dirname, join, resolve } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';

import { HalleyError } from '@halley/protocol/error';

import { commandOf } from './port-holder.js';

/** Who holds a data folder: a process, told apart from a later one with the same pid by when it started. */
interface Holder {
  readonly pid: number;
  /** Start time in clock ticks since boot; absent where /proc does not tell. */
  readonly startedAt?: string;
}

/** A held data folder. */
export interface DataLock {
  readonly folder: string;
  /** Lets go of the folder. Idempotent. */
  release(): Promise<void>;
}

/**
 * Takes a data folder for this process alone, creating it when it is missing. The lock of a process that is gone is
 * taken over; a live holder makes it throw `bad_config`, naming it and the remedy.
 */
export async function lockDataFolder(folder: string): Promise<DataLock> {
  const path = resolve(folder);
  const file = join(path, 'lock');
  try {
    await makeFolder(path);
  } catch (error) {
    throw new HalleyError(
      'bad_config',
      `data folder ${path} cannot be made; choose another with --data-dir`,
      {
        cause: error,
      },
    );
  }
  const mine = JSON.stringify({ ...(await holderOf(process.pid)), token: randomUUID() });
  for (let attempt = 0; attempt < 50; attempt += 1) {
    if (await claim(file, mine)) return { folder: path, release: () => release(file, mine) };
    const holder = await readHolder(file);
    if (holder && (await isAlive(holder))) throw await inUse(path, holder);
    if (await takeOver(file, mine)) return { folder: path, release: () => release(file, mine) };
    await sleep(20);
  }
  throw new HalleyError(
    'bad_config',
    `data folder ${path}: its lock changes all the time; choose another with --data-dir`,
  );
}

/**
 * Makes a folder and the missing ones above it, level by level: Node's recursive mkdir tries for ever where a level
 * can't be made although the one above is there, as in /proc.
 */
async function makeFolder(path: string): Promise<void> {
  try {
    await mkdir(path);
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    const parent = dirname(path);
    if (code === 'ENOENT' && parent !== path && !(await isFolder(parent))) {
      await makeFolder(parent);
      await makeFolder(path);
    } else if (!(await isFolder(path))) throw error;
  }
}

async function isFolder(path: string): Promise<boolean> {
  return (await stat(path).catch(() => undefined))?.isDirectory() ?? false;
}

/** Creates the lock with its whole text at once; false when there is one. */
async function claim(file: string, text: string): Promise<boolean> {
  const draft = `${file}.${randomUUID()}`;
  try {
    await writeFile(draft, text);
    await link(draft, file);
    return true;
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'EEXIST') return false;
    throw new HalleyError('bad_config', `${file} cannot be written; choose another folder with --data-dir`, {
      cause: error,
    });
  } finally {
    await rm(draft, { force: true });
  }
}

/** Replaces the lock of a dead process. A second lock around this keeps one from replacing what another has just taken. */
async function takeOver(file: string, mine: string): Promise<boolean> {
  const guard = `${file}.takeover`;
  if (!(await claim(guard, mine))) {
    const other = await readHolder(guard);
    if (!other || !(await isAlive(other))) await rm(guard, { force: true });
    return false;
  }
  try {
    const holder = await readHolder(file);
    if (holder && (await isAlive(holder))) return false;
    await rm(file, { force: true });
    return await claim(file, mine);
  } finally {
    await rm(guard, { force: true });
  }
}

async function readHolder(file: string): Promise<Holder | undefined> {
  return parseHolder(await readFile(file, 'utf8').catch(() => ''));
}

async function release(file: string, mine: string): Promise<void> {
  const text = await readFile(file, 'utf8').catch(() => '');
  if (text === mine) await rm(file, { force: true });
}

async function inUse(folder: string, holder: Holder): Promise<HalleyError> {
  return new HalleyError(
    'bad_config',
    `data folder ${folder} is in use by pid ${holder.pid} (${await commandOf(holder.pid)}); stop it, or choose another with --data-dir`,
  );
}

async function holderOf(pid: number): Promise<Holder> {
  const { startedAt } = await readStat(pid);
  return startedAt === undefined ? { pid } : { pid, startedAt };
}

async function isAlive(holder: Holder): Promise<boolean> {
  try {
    process.kill(holder.pid, 0);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ESRCH') return false;
  }
  const { state, startedAt } = await readStat(holder.pid);
  // One that was killed and whose parent takes no notice: it keeps its pid, but nothing that it had open.
  if (state === 'Z') return false;
  return holder.startedAt === undefined || startedAt === undefined || startedAt === holder.startedAt;
}

/** Fields 3 and 22 of /proc/PID/stat, where it tells; the command in field 2 may hold spaces and brackets. */
async function readStat(
  pid: number,
): Promise<{ readonly state: string | undefined; readonly startedAt: string | undefined }> {
  const stat = await readFile(`/proc/${pid}/stat`, 'utf8').catch(() => '');
  const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ');
  return { state: fields.at(0), startedAt: fields.at(19) };
}

function parseHolder(text: string): Holder | undefined {
  try {
    const value = JSON.parse(text) as Partial<Holder>;
    if (typeof value.pid !== 'number') return undefined;
    return typeof value.startedAt === 'string'
      ? { pid: value.pid, startedAt: value.startedAt }
      : { pid: value.pid };
  } catch {
    return undefined;
  }
}
