import { execFile } from 'node:child_process';
import { availableParallelism } from 'node:os';
import { promisify } from 'node:util';

import type { ClusterFile } from '../faults/cluster-file.js';

const run = promisify(execFile);

/** Binds processes to cores, so that who is measured and who measures don't share one. */
export interface Pin {
  /** All threads of a process, also those that it starts later. */
  pin(pid: number, core: number): Promise<void>;
  /** As it was: on every core. */
  unpin(pid: number): Promise<void>;
}

/** With `taskset`; undefined where there is none, or a single core. */
export async function openPin(): Promise<Pin | undefined> {
  const cores = availableParallelism();
  if (cores < 2) return undefined;
  try {
    await run('taskset', ['--version']);
  } catch {
    return undefined;
  }
  // A process may have ended meanwhile, or be another user's: then it stays where it is.
  const set = async (pid: number, list: string): Promise<void> => {
    await run('taskset', ['-a', '-c', '-p', list, String(pid)]).catch(() => undefined);
  };
  return { pin: (pid, core) => set(pid, String(core)), unpin: (pid) => set(pid, `0-${cores - 1}`) };
}

/** Where a server is that is measured. */
export const SERVER_CORE = 0;
const LOAD_CORE = 1;

/** Gives the tiers that are a part of the server its core, and this process, what it starts, and all else of a cluster the other. */
export async function layOut(
  pin: Pin,
  { processes, services }: ClusterFile,
  isServer: (tier: string) => boolean,
): Promise<void> {
  await pin.pin(process.pid, LOAD_CORE);
  for (const { tier, pid } of processes) await pin.pin(pid, isServer(tier) ? SERVER_CORE : LOAD_CORE);
  for (const { pid } of Object.values(services)) await pin.pin(pid, LOAD_CORE);
}

/** Lets this process and a cluster have every core. */
export async function letGo(pin: Pin, { processes, services }: ClusterFile): Promise<void> {
  await pin.unpin(process.pid);
  for (const { pid } of [...processes, ...Object.values(services)]) await pin.unpin(pid);
}
