import { setTimeout as sleep } from 'node:timers/promises';

import { HalleyError } from '@halley/protocol/error';
import { Backoff } from '@halley/service/backoff';
import type { Clock } from '@halley/service/clock';
import type { Logger } from '@halley/service/log';

/** A process that runs, or has ended. */
export interface RunningProcess {
  readonly pid: number;
  /** How it ended, as `signal SIGKILL`; resolves then. */
  readonly ended: Promise<Ending>;
  kill(signal: NodeJS.Signals): void;
}

/** How a process ended: one of both. */
export interface Ending {
  readonly code: number | null;
  readonly signal: NodeJS.Signals | null;
}

export interface InstanceDeps {
  readonly name: string;
  /** Starts the process. */
  launch(): RunningProcess;
  /** Whether it can serve; asked again and again while it starts. Never throws. */
  ready(): Promise<boolean>;
  /** Told each time that it can serve. */
  onReady(pid: number): void;
  readonly clock: Clock;
  readonly log: Logger;
  /** Resolves early when the signal aborts. */
  readonly sleep?: (ms: number, signal: AbortSignal) => Promise<void>;
  readonly random?: () => number;
}

const LOOK_EVERY_MS = 100;
/** Who was ready for so long had no trouble of its own: the next start comes soon. */
const STEADY_MS = 30_000;
const RESTART = { baseMs: 1_000, maxMs: 30_000 };

/** One process that is started again whenever it ends, after a wait that grows with each end that follows soon. */
export class Instance {
  readonly #stop = new AbortController();
  readonly #backoff: Backoff;
  #process: RunningProcess | undefined;
  #kept: Promise<void> = Promise.resolve();
  #readySinceMs: number | undefined;

  constructor(private readonly deps: InstanceDeps) {
    this.#backoff = new Backoff(RESTART, deps.random);
  }

  get name(): string {
    return this.deps.name;
  }

  /** Of the process that runs; undefined between two. */
  get pid(): number | undefined {
    return this.#process?.pid;
  }

  /**
   * Starts it; resolves when it is ready for the first time, or was stopped. Throws when it gives up by itself before: it has
   * said why. One that is killed meanwhile is started again.
   */
  async start(): Promise<void> {
    return new Promise((resolve, reject) => {
      this.#kept = this.#keep(resolve).then(resolve, reject);
    });
  }

  /** Ends it: SIGTERM, and SIGKILL after `graceMs`. Resolves when it is gone. */
  async stop(graceMs: number): Promise<void> {
    this.#stop.abort();
    const running = this.#process;
    running?.kill('SIGTERM');
    const timer = setTimeout(() => {
      this.deps.log.warn({ instance: this.name }, 'did not end in time: killed');
      running?.kill('SIGKILL');
    }, graceMs);
    await this.#kept.catch(() => undefined);
    clearTimeout(timer);
  }

  async #keep(onFirstReady: () => void): Promise<void> {
    const { clock, log, name } = this.deps;
    let wasReady = false;
    const onReady = (pid: number): void => {
      wasReady = true;
      this.#readySinceMs = clock.monotonicMs();
      this.deps.onReady(pid);
      onFirstReady();
    };
    while (!this.#stop.signal.aborted) {
      const { pid, ending } = await this.#run(onReady);
      if (this.#stop.signal.aborted) return;
      if (!wasReady && ending.signal === null)
        throw new HalleyError('internal', `${name} ended with ${textOf(ending)} before it was ready`);
      if (this.#readySinceMs !== undefined && clock.monotonicMs() - this.#readySinceMs >= STEADY_MS)
        this.#backoff.reset();
      const waitMs = Math.round(this.#backoff.nextMs());
      // With 0 it was told to end, to be renewed.
      const level = ending.code === 0 ? 'info' : 'error';
      log[level]({ instance: name, pid, waitMs }, `ended with ${textOf(ending)}; it is started again`);
      await this.#sleep(waitMs);
    }
  }

  async #run(onReady: (pid: number) => void): Promise<{ readonly pid: number; readonly ending: Ending }> {
    this.#readySinceMs = undefined;
    const running = this.deps.launch();
    this.#process = running;
    let over = false;
    const looking = this.#look(
      () => over,
      () => onReady(running.pid),
    );
    const ending = await running.ended;
    over = true;
    this.#process = undefined;
    await looking;
    return { pid: running.pid, ending };
  }

  async #look(isOver: () => boolean, onReady: () => void): Promise<void> {
    while (!isOver() && !this.#stop.signal.aborted) {
      const isReady = await this.deps.ready();
      // Another process may answer on its port.
      if (isReady && !isOver()) return onReady();
      await this.#sleep(LOOK_EVERY_MS);
    }
  }

  #sleep(ms: number): Promise<void> {
    return (this.deps.sleep ?? sleepUnless)(ms, this.#stop.signal);
  }
}

/** As `exit code 1` or `signal SIGKILL`. */
export function textOf({ code, signal }: Ending): string {
  return signal === null ? `exit code ${code}` : `signal ${signal}`;
}

async function sleepUnless(ms: number, signal: AbortSignal): Promise<void> {
  await sleep(ms, undefined, { signal }).catch(() => undefined);
}
