import { spawn, type ChildProcess } from 'node:child_process';
import { closeSync, mkdirSync, openSync, readFileSync } from 'node:fs';
import path from 'node:path';
import type { Writable } from 'node:stream';
import { setTimeout as delay } from 'node:timers/promises';
import { isFree } from './free-port.js';
import { lastLines } from './run.js';
import { dropGroup, guardGroup } from './watchdog.js';

export interface ProcessSpec {
  /** For messages, as `Kafka`. */
  readonly name: string;
  readonly file: string;
  readonly args: readonly string[];
  readonly cwd?: string;
  /** Replaces the environment of this process. */
  readonly env?: NodeJS.ProcessEnv;
  /** Both outputs are appended to it. */
  readonly logFile: string;
  /** Asked again and again after the start until it answers true. */
  readonly ready: () => Promise<boolean>;
  /** Ports of 127.0.0.1 that must be free before it starts, lest another service answers for it. */
  readonly ports?: readonly number[];
  /** Default 60,000. */
  readonly startTimeoutMs?: number;
}

/**
 * A child process in a group of its own, so that a Ctrl-C at the terminal does not reach it and that all of it can be
 * ended at once. It never outlives this process: a watchdog kills it.
 */
export class ServiceProcess {
  #child: ChildProcess | undefined;
  #exited: Promise<void> = Promise.resolve();
  #paused = false;

  constructor(readonly spec: ProcessSpec) {}

  get name(): string {
    return this.spec.name;
  }

  get logFile(): string {
    return this.spec.logFile;
  }

  /** Of the serving process; undefined when it does not run. */
  get pid(): number | undefined {
    return this.alive ? this.#child?.pid : undefined;
  }

  get alive(): boolean {
    const child = this.#child;
    return child?.pid !== undefined && child.exitCode === null && child.signalCode === null;
  }

  /** How the last run ended: `exit code 1`, `signal SIGKILL`; undefined while it runs. */
  get ending(): string | undefined {
    const child = this.#child;
    if (!child || this.alive) return undefined;
    return child.signalCode ? `signal ${child.signalCode}` : `exit code ${child.exitCode}`;
  }

  /** Resolves when the running process has ended, for whatever reason; at once when none runs. */
  get exited(): Promise<void> {
    return this.#exited;
  }

  /** Starts it and waits until it is ready. Throws with the end of its log when it exits first or takes too long. */
  async start(): Promise<void> {
    await this.launch();
    await this.untilReady();
  }

  /** Starts it without waiting for it to be ready. */
  async launch(): Promise<void> {
    if (this.alive) throw new Error(`${this.name} runs already.`);
    for (const port of this.spec.ports ?? []) {
      if (!(await isFree(port))) throw new Error(`${this.name} did not start: port ${port} is in use.`);
    }
    mkdirSync(path.dirname(this.logFile), { recursive: true });
    const log = openSync(this.logFile, 'a');
    this.#paused = false;
    // The shell waits for a word from us before it becomes the service: no service runs that the watchdog doesn't know.
    const child = spawn(
      '/bin/sh',
      ['-c', 'read -r go <&3 && exec "$@" 3<&-', this.name, this.spec.file, ...this.spec.args],
      {
        detached: true,
        stdio: ['ignore', log, log, 'pipe'],
        cwd: this.spec.cwd,
        env: this.spec.env ?? process.env,
      },
    );
    closeSync(log);
    this.#child = child;
    const gate = child.stdio[3] as Writable;
    gate.on('error', () => {});
    this.#exited = new Promise((resolve) => {
      child.once('error', () => resolve());
      child.once('exit', () => {
        if (child.pid !== undefined) {
          signalGroup(child.pid, 'SIGKILL');
          dropGroup(child.pid);
        }
        resolve();
      });
    });
    if (child.pid === undefined) throw new Error(`${this.name} could not be started: /bin/sh is missing.`);
    await guardGroup(child.pid);
    gate.end('go\n');
    // Whoever forgets to stop it can still end; the watchdog then ends it.
    child.unref();
  }

  /** Waits until the launched process is ready, see {@link start}. */
  async untilReady(): Promise<void> {
    const deadline = performance.now() + (this.spec.startTimeoutMs ?? 60_000);
    while (!(await this.spec.ready())) {
      if (!this.alive) throw this.#failure(`ended with ${this.ending}`);
      if (performance.now() > deadline) {
        await this.kill();
        throw this.#failure('was not ready in time');
      }
      await delay(40);
    }
    // Somebody else may answer on its port.
    if (!this.alive) throw this.#failure(`ended with ${this.ending}`);
  }

  /** Ends it: SIGTERM, and SIGKILL after `graceMs`. Resolves when it is gone. Idempotent. */
  async stop(graceMs = 8_000): Promise<void> {
    if (!this.alive) return this.#exited;
    this.#child?.ref();
    this.resume();
    this.signal('SIGTERM');
    const timer = setTimeout(() => void this.kill(), graceMs);
    await this.#exited;
    clearTimeout(timer);
  }

  /** Ends it with SIGKILL, all of its group. Resolves when it is gone. */
  async kill(): Promise<void> {
    const pid = this.pid;
    if (pid !== undefined) {
      this.#child?.ref();
      signalGroup(pid, 'SIGKILL');
    }
    await this.#exited;
  }

  /** Stops it, if it still runs, and starts it again with the same ports and folders. */
  async restart(): Promise<void> {
    await ServiceProcess.prototype.stop.call(this);
    await this.start();
  }

  /** Freezes it (SIGSTOP): its connections stay, nothing answers. */
  pause(): void {
    const pid = this.pid;
    if (pid === undefined) return;
    this.#paused = true;
    signalGroup(pid, 'SIGSTOP');
  }

  /** Ends a {@link pause}. */
  resume(): void {
    const pid = this.pid;
    if (pid === undefined || !this.#paused) return;
    this.#paused = false;
    signalGroup(pid, 'SIGCONT');
  }

  /** Sends a signal to the process alone, not to its group. */
  signal(signal: NodeJS.Signals): void {
    if (this.alive) this.#child?.kill(signal);
  }

  /** The end of its log. */
  logTail(lines = 15): string {
    try {
      return lastLines(readFileSync(this.logFile, 'utf8'), lines);
    } catch {
      return '';
    }
  }

  #failure(what: string): ServiceStartError {
    return new ServiceStartError(`${this.name} did not start: it ${what}.`, this.logFile, this.logTail());
  }
}

/** A process that ended before it was ready, or took too long. The message has all of it, over several lines. */
export class ServiceStartError extends Error {
  override readonly name = 'ServiceStartError';

  constructor(
    /** What happened, in one line. */
    readonly summary: string,
    readonly logFile: string,
    /** The last lines of its log. */
    readonly tail: string,
  ) {
    super(`${summary} Log: ${logFile}${tail ? `\n${tail}` : ''}`);
  }
}

function signalGroup(group: number, signal: NodeJS.Signals): void {
  try {
    process.kill(-group, signal);
  } catch {
    // Nobody is left in it.
  }
}
