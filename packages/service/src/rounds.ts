import { setTimeout as sleep } from 'node:timers/promises';

import { atMost } from './at-most.js';
import type { Service } from './lifecycle.js';

export interface RoundsDeps {
  readonly name: string;
  /** From half to one and a half of this lies between two rounds, in milliseconds: nodes that start together drift apart. */
  readonly everyMs: number;
  readonly round: () => Promise<void>;
  /** Told how a round failed; the next comes all the same. */
  readonly onFailure: (error: unknown) => void;
}

/** Does something about every so often, one round at a time, from some time behind its start until it is stopped. */
export class Rounds implements Service {
  readonly name: string;
  readonly #end = new AbortController();
  #running: Promise<void> = Promise.resolve();

  constructor(private readonly deps: RoundsDeps) {
    this.name = deps.name;
  }

  async start(): Promise<void> {
    this.#running = this.#run();
  }

  /** Waits for the round that runs. */
  async stop(deadlineMs: number): Promise<void> {
    this.#end.abort();
    await atMost(this.#running, deadlineMs);
  }

  async #run(): Promise<void> {
    const { everyMs, round, onFailure } = this.deps;
    const { signal } = this.#end;
    for (;;) {
      await sleep(everyMs * (0.5 + Math.random()), undefined, { signal, ref: false }).catch(() => undefined);
      if (signal.aborted) return;
      await round().catch(onFailure);
    }
  }
}
