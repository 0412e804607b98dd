import { spawn, type ChildProcess } from 'node:child_process';
import { mkdtemp, rm } from 'node:fs/promises';
import os from 'node:os';
import path from 'node:path';
import { fileURLToPath } from 'node:url';

import { HttpApi } from './http.js';
import { freePortOffset, PORTS } from './ports.js';
import type { Target } from './target.js';
import { within } from './within.js';

const CLI = fileURLToPath(new URL('../../packages/cli/bin/halley.js', import.meta.url));

export interface ProcessOptions {
  readonly env?: NodeJS.ProcessEnv;
  readonly cwd?: string;
  /** A line of standard output that says that it serves. */
  readonly ready?: RegExp;
  readonly readyTimeoutMs?: number;
}

/** How a process ended. */
export interface Exit {
  readonly code: number | null;
  readonly signal: NodeJS.Signals | null;
}

/** A process of the built `halley` command. Whoever starts one stops it. */
export class HalleyProcess {
  readonly exited: Promise<Exit>;
  #stdout = '';
  #stderr = '';
  #onOutput: () => void = () => undefined;

  private constructor(private readonly child: ChildProcess) {
    child.stdout?.on('data', (chunk: Buffer) => {
      this.#stdout += chunk.toString();
      this.#onOutput();
    });
    child.stderr?.on('data', (chunk: Buffer) => {
      this.#stderr += chunk.toString();
    });
    this.exited = new Promise((resolve) => {
      child.once('close', (code, signal) => resolve({ code, signal }));
    });
  }

  /** Runs `halley ARGS` without waiting for anything. */
  static spawn(args: readonly string[], options: ProcessOptions = {}): HalleyProcess {
    // Neither jest's options nor settings of whoever runs the tests.
    const env = Object.fromEntries(
      Object.entries(process.env).filter(([name]) => name !== 'NODE_OPTIONS' && !name.startsWith('HALLEY_')),
    );
    const child = spawn(process.execPath, [CLI, ...args], {
      env: { ...env, ...options.env },
      cwd: options.cwd,
      stdio: ['ignore', 'pipe', 'pipe'],
    });
    return new HalleyProcess(child);
  }

  /** Runs `halley ARGS` and waits for the line that says that it serves. */
  static async start(args: readonly string[], options: ProcessOptions = {}): Promise<HalleyProcess> {
    const halley = HalleyProcess.spawn(args, options);
    const { ready = /\bready\b/i, readyTimeoutMs = 30_000 } = options;
    try {
      await within(
        Promise.race([
          halley.#line(ready),
          halley.exited.then(({ code }) => {
            throw new Error(`halley ${args.join(' ')} exited with ${code}: ${halley.output}`);
          }),
        ]),
        readyTimeoutMs,
        () => `halley ${args.join(' ')} did not say ${String(ready)}: ${halley.output}`,
      );
    } catch (error) {
      await halley.kill();
      throw error;
    }
    return halley;
  }

  get pid(): number {
    return this.child.pid ?? 0;
  }

  /** What it has written to standard output so far. */
  get stdout(): string {
    return this.#stdout;
  }

  /** All that it wrote to standard output and standard error. */
  get output(): string {
    return this.#stdout + this.#stderr;
  }

  signal(signal: NodeJS.Signals): void {
    this.child.kill(signal);
  }

  /** SIGTERM, and SIGKILL when that does not end it in time. */
  async stop(timeoutMs = 12_000): Promise<Exit> {
    this.signal('SIGTERM');
    return within(this.exited, timeoutMs, () => `halley ${this.pid} did not stop`).catch(() => this.kill());
  }

  async kill(): Promise<Exit> {
    this.signal('SIGKILL');
    return this.exited;
  }

  #line(pattern: RegExp): Promise<void> {
    return new Promise((resolve) => {
      this.#onOutput = () => {
        if (pattern.test(this.#stdout)) resolve();
      };
      this.#onOutput();
    });
  }
}

/** A start of all tiers with a data folder and ports of its own. */
export interface StartedHalley {
  readonly process: HalleyProcess;
  readonly target: Target;
  /** comet's metrics, as Prometheus reads them. */
  metrics(): Promise<string>;
  stop(): Promise<Exit>;
}

/** `halley start` on free ports and in a folder of its own. */
export async function startHalley(
  args: readonly string[] = [],
  options: ProcessOptions = {},
): Promise<StartedHalley> {
  const dir = await mkdtemp(path.join(os.tmpdir(), 'halley-start-'));
  const offset = await freePortOffset();
  try {
    const halley = await HalleyProcess.start(
      ['start', '--port-offset', String(offset), '--data-dir', path.join(dir, 'data'), ...args],
      { cwd: dir, ...options },
    );
    return {
      process: halley,
      target: targetAt(offset),
      metrics: async () => {
        const ops = new HttpApi(`http://127.0.0.1:${PORTS.cometOps + offset}`);
        try {
          return (await ops.get('/metrics')).text;
        } finally {
          ops.close();
        }
      },
      stop: async () => {
        const exit = await halley.stop();
        await rm(dir, { recursive: true, force: true });
        return exit;
      },
    };
  } catch (error) {
    await rm(dir, { recursive: true, force: true });
    throw error;
  }
}

/** The addresses of a start on a port offset. */
export function targetAt(offset: number): Target {
  const at = (port: number): string => `127.0.0.1:${port + offset}`;
  return {
    tcp: at(PORTS.tcp),
    ws: `ws://${at(PORTS.ws)}/sub`,
    logicHttp: `http://${at(PORTS.logicHttp)}`,
    logicGrpc: at(PORTS.logicGrpc),
    cometGrpc: at(PORTS.cometGrpc),
  };
}
