import { execFile } from 'node:child_process';
import { availableParallelism } from 'node:os';
import { promisify } from 'node:util';

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
