import { readFileSync } from 'node:fs';
import { setTimeout as sleep } from 'node:timers/promises';

import { isAlive } from './cluster-file.js';
import type { Slot } from './fault.js';

const GONE_WITHIN_MS = 10_000;
const READY_WITHIN_MS = 60_000;

/** A place in the cluster, and the process that is in it now. */
export abstract class ProcessSlot implements Slot {
  #pid: number;

  constructor(
    readonly name: string,
    pid: number,
  ) {
    this.#pid = pid;
  }

  get pid(): number {
    return this.#pid;
  }

  get memoryMb(): number | undefined {
    try {
      const [, kilobytes] =
        /^VmRSS:\s+(\d+) kB$/m.exec(readFileSync(`/proc/${this.#pid}/status`, 'utf8')) ?? [];
      return kilobytes === undefined ? undefined : Number(kilobytes) / 1_024;
    } catch {
      return undefined;
    }
  }

  async kill(): Promise<void> {
    this.#signal('SIGKILL');
    const until = performance.now() + GONE_WITHIN_MS;
    while (isAlive(this.#pid)) {
      if (performance.now() > until) throw new Error(`${this.name} (pid ${this.#pid}) does not go`);
      await sleep(10);
    }
  }

  async start(): Promise<void> {
    if (isAlive(this.#pid)) return;
    this.#pid = await this.launch();
    const until = performance.now() + READY_WITHIN_MS;
    while (!(await this.isReady())) {
      if (!isAlive(this.#pid)) throw new Error(`${this.name} ended before it was ready`);
      if (performance.now() > until)
        throw new Error(`${this.name} was not ready within ${READY_WITHIN_MS} ms`);
      await sleep(50);
    }
  }

  pause(): void {
    this.#signal('SIGSTOP');
  }

  resume(): void {
    this.#signal('SIGCONT');
  }

  /** Starts a process as the one before was started. Answers its pid. */
  protected abstract launch(): Promise<number>;

  /** Whether it serves. */
  protected abstract isReady(): Promise<boolean>;

  #signal(signal: NodeJS.Signals): void {
    try {
      process.kill(this.#pid, signal);
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== 'ESRCH') throw error;
    }
  }
}
