import { spawn } from 'node:child_process';
import { fileURLToPath } from 'node:url';

import type { WorkerStreams } from './worker-link.js';

const NODE_WORKER = fileURLToPath(new URL('./load-worker-main.js', import.meta.url));
/** Of what a worker says on stderr, the end is kept. */
const MAX_WORDS = 500;

/** Starts a worker: the native program, or the Node one without it. It ends when its commands do. */
export function startWorkerProcess(program: string | undefined): WorkerStreams {
  const child = program ? spawn(program) : spawn(process.execPath, [NODE_WORKER]);
  let words = '';
  child.stderr.on('data', (chunk: Buffer) => {
    words = `${words}${chunk.toString()}`.slice(-MAX_WORDS);
  });
  const ended = new Promise<string>((resolve) => {
    child.once('error', (error) => resolve(error.message));
    child.once('close', (code, signal) => resolve(words.trim() || `by ${signal ?? `code ${code}`}`));
  });
  return { commands: child.stdin, reports: child.stdout, ended };
}
