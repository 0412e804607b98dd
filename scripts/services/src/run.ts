import { spawn } from 'node:child_process';
import { dropGroup, guardGroup } from './watchdog.js';

export interface RunResult {
  /** Exit code; null when it was ended by a signal or could not be started. */
  readonly code: number | null;
  readonly stdout: string;
  /** Both outputs as they came. */
  readonly output: string;
}

/**
 * Runs a program to its end without showing its output; it ends with this process at the latest. `missing` when there is
 * no such program.
 */
export async function run(
  file: string,
  args: readonly string[],
  options: { readonly cwd?: string; readonly env?: NodeJS.ProcessEnv } = {},
): Promise<RunResult | 'missing'> {
  return new Promise((resolve, reject) => {
    const child = spawn(file, args, { ...options, detached: true, stdio: ['ignore', 'pipe', 'pipe'] });
    const group = child.pid;
    if (group !== undefined) guardGroup(group).catch(reject);
    let stdout = '';
    let output = '';
    child.stdout.setEncoding('utf8').on('data', (text: string) => {
      stdout += text;
      output += text;
    });
    child.stderr.setEncoding('utf8').on('data', (text: string) => (output += text));
    child.on('error', (error: NodeJS.ErrnoException) =>
      error.code === 'ENOENT' ? resolve('missing') : reject(error),
    );
    child.on('close', (code) => {
      if (group !== undefined) dropGroup(group);
      resolve({ code, stdout, output });
    });
  });
}

/** The end of a long output, for an error message. */
export function lastLines(output: string, count = 15): string {
  return output.trimEnd().split('\n').slice(-count).join('\n');
}
