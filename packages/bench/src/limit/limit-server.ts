import { type ChildProcessWithoutNullStreams, execFile, spawn } from 'node:child_process';
import { createHash } from 'node:crypto';
import { once } from 'node:events';
import { access, mkdir, readFile, rename } from 'node:fs/promises';
import { join } from 'node:path';
import { createInterface, type Interface } from 'node:readline';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';

import { HalleyError } from '@halley/protocol/error';

const SOURCE = fileURLToPath(new URL('../../native/limit/limit.c', import.meta.url));
const BUILD = fileURLToPath(new URL('../../native/build/', import.meta.url));
const FLAGS = ['-std=c11', '-O2', '-Wall', '-Wextra'];

/** Passes over all connections. */
export interface LimitRun {
  /** 0: one upon the other. */
  readonly passesPerSecond: number;
  readonly durationMs: number;
  /** Frames in one send. */
  readonly batch: number;
  readonly run: bigint;
  readonly bodyBytes: number;
  readonly operation: number;
}

export interface LimitOutcome {
  readonly passes: number;
  readonly sends: number;
  readonly messages: number;
  /** Sends that a full socket did not take at once. */
  readonly blocked: number;
  /** Connections that were given up. */
  readonly failed: number;
  /** Of the sends alone. */
  readonly cpuNs: number;
  /** What the passes lasted, without the time between them. */
  readonly passNs: number;
  readonly elapsedNs: number;
}

/** The C send loop (packages/bench/native/limit): what the kernel itself takes for a frame to each of many connections. */
export class LimitServer {
  readonly #lines: AsyncIterator<string>;

  private constructor(
    private readonly child: ChildProcessWithoutNullStreams,
    readonly port: number,
    lines: AsyncIterator<string>,
  ) {
    this.#lines = lines;
  }

  /** Builds the program where that was not done before, and starts it. Throws `unavailable` without a C compiler. */
  static async start(): Promise<LimitServer> {
    const child = spawn(await buildLimit(), [], { stdio: 'pipe' });
    const input: Interface = createInterface(child.stdout);
    const lines = input[Symbol.asyncIterator]();
    const { listening } = await nextLine<{ listening: number }>(lines);
    return new LimitServer(child, listening, lines);
  }

  get pid(): number {
    return this.child.pid ?? 0;
  }

  /** Resolves when it is done. */
  async run(plan: LimitRun): Promise<LimitOutcome> {
    const { passesPerSecond, durationMs, batch, run, bodyBytes, operation } = plan;
    this.child.stdin.write(
      `run ${passesPerSecond} ${Math.round(durationMs)} ${batch} ${run} ${bodyBytes} ${operation}\n`,
    );
    return nextLine<LimitOutcome>(this.#lines);
  }

  async stop(): Promise<void> {
    if (this.child.exitCode !== null) return;
    const exited = once(this.child, 'exit');
    this.child.stdin.end();
    await exited;
  }
}

async function nextLine<Line>(lines: AsyncIterator<string>): Promise<Line> {
  const { value, done } = await lines.next();
  if (done) throw new HalleyError('internal', 'the C send loop has ended');
  const line = JSON.parse(value as string) as Line & { readonly error?: string };
  if (line.error !== undefined) throw new HalleyError('internal', `the C send loop says: ${line.error}`);
  return line;
}

/** Named by what it is made of, so that other sources are another program. */
async function buildLimit(): Promise<string> {
  const digest = createHash('sha256')
    .update(FLAGS.join(' '))
    .update(await readFile(SOURCE));
  const program = join(BUILD, `limit-${digest.digest('hex').slice(0, 16)}`);
  const isBuilt = await access(program).then(
    () => true,
    () => false,
  );
  if (isBuilt) return program;
  await mkdir(BUILD, { recursive: true });
  const unfinished = `${program}.${process.pid}`;
  try {
    await promisify(execFile)('cc', [...FLAGS, '-o', unfinished, SOURCE]);
  } catch (error) {
    throw new HalleyError('unavailable', `the C send loop cannot be built: it needs cc (${whyOf(error)})`, {
      cause: error,
    });
  }
  await rename(unfinished, program);
  return program;
}

function whyOf(error: unknown): string {
  const { stderr, message } = error as { readonly stderr?: string; readonly message: string };
  return (stderr?.trim() || message).split('\n')[0] ?? message;
}
