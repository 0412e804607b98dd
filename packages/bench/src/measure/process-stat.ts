import { readFile } from 'node:fs/promises';

/** What a process has taken of the machine so far. */
export interface ProcessStat {
  /** Processor time since it began, user and system, in milliseconds. */
  readonly cpuMs: number;
  /** Resident memory in bytes, and the part of it that is the process's own: not files that are mapped. */
  readonly rssBytes: number;
  readonly anonymousBytes: number;
}

/** Of /proc/PID/stat; 100 a second on every Linux. */
const TICK_MS = 10;

/** Reads /proc; undefined when there is no such process, or no /proc. */
export async function readProcess(pid: number): Promise<ProcessStat | undefined> {
  try {
    const [stat, status] = await Promise.all([
      readFile(`/proc/${pid}/stat`, 'latin1'),
      readFile(`/proc/${pid}/status`, 'latin1'),
    ]);
    return parseProcess(stat, status);
  } catch {
    return undefined;
  }
}

/** From the texts of /proc/PID/stat and /proc/PID/status. */
export function parseProcess(stat: string, status: string): ProcessStat {
  // The name, in brackets, may have spaces and brackets of its own.
  const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ');
  const kb = (name: string): number =>
    Number(new RegExp(`^${name}:\\s+(\\d+) kB`, 'm').exec(status)?.[1] ?? 0);
  return {
    cpuMs: (Number(fields[11]) + Number(fields[12])) * TICK_MS,
    rssBytes: kb('VmRSS') * 1_024,
    anonymousBytes: kb('RssAnon') * 1_024,
  };
}

/** How many descriptors a process may have; undefined when that is not known. `self` is this one. */
export async function descriptorLimit(pid: number | 'self'): Promise<number | undefined> {
  try {
    const limits = await readFile(`/proc/${pid}/limits`, 'latin1');
    // Node and Go raise their own limit to the hard one.
    const hard = /^Max open files\s+\S+\s+(\d+)/m.exec(limits)?.[1];
    return hard === undefined ? undefined : Number(hard);
  } catch {
    return undefined;
  }
}
