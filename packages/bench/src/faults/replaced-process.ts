import { spawn } from 'node:child_process';
import { closeSync, openSync } from 'node:fs';

export interface ReplacedProcess {
  readonly file: string;
  readonly args: readonly string[];
  readonly cwd?: string;
  readonly env?: NodeJS.ProcessEnv;
  /** Both outputs are appended to it. */
  readonly logFile: string;
  /** It ends with the cluster: when this process has ended, or its file is gone. */
  readonly cluster: { readonly path: string; readonly pid: number };
}

/** In `sh`, a second process: it looks after the first, which leads a group of its own. */
const GUARD =
  'while kill -0 "$1" 2>/dev/null; do [ -e "$3" ] && kill -0 "$2" 2>/dev/null || break; sleep 0.5; done; kill -9 -"$1"';

/**
 * Starts a process in the place of one that was killed. It outlives this process, so that the cluster is whole when a check has
 * ended, but not the cluster. Answers its pid.
 */
export function startReplacement(replaced: ReplacedProcess): number {
  const { file, args, cwd, env, logFile, cluster } = replaced;
  const log = openSync(logFile, 'a');
  const child = spawn(file, args, {
    detached: true,
    stdio: ['ignore', log, log],
    ...(cwd === undefined ? {} : { cwd }),
    ...(env === undefined ? {} : { env }),
  });
  closeSync(log);
  const { pid } = child;
  // What is wrong with it is seen when it does not become ready.
  child.on('error', () => undefined);
  child.unref();
  if (pid === undefined) throw new Error(`${file} could not be started`);
  spawn('/bin/sh', ['-c', GUARD, 'halley-check', String(pid), String(cluster.pid), cluster.path], {
    detached: true,
    stdio: 'ignore',
  }).unref();
  return pid;
}
