import type { Service } from '@halley/service/lifecycle';
import type { Logger } from '@halley/service/log';
import type { Bus } from '@halley/store/bus/bus';

import type { JobMetrics } from './metrics.js';

export interface LagMeterDeps {
  readonly bus: Pick<Bus, 'lag'>;
  readonly groups: readonly (readonly [group: string, topic: string])[];
  readonly intervalMs: number;
  readonly metrics: JobMetrics;
  readonly log: Logger;
}

/** Measures on a timer how far the groups are behind; a measurement that fails leaves the figure as it was. */
export class LagMeter implements Service {
  readonly name = 'lag meter';
  #timer: NodeJS.Timeout | undefined;
  #measuring: Promise<void> = Promise.resolve();
  #busy = false;

  constructor(private readonly deps: LagMeterDeps) {}

  async start(): Promise<void> {
    this.#timer = setInterval(() => {
      if (!this.#busy) this.#measuring = this.#measure();
    }, this.deps.intervalMs);
    this.#timer.unref();
    this.#measuring = this.#measure();
  }

  async stop(deadlineMs: number): Promise<void> {
    clearInterval(this.#timer);
    let late: NodeJS.Timeout | undefined;
    await Promise.race([
      this.#measuring,
      new Promise<void>((resolve) => {
        late = setTimeout(resolve, deadlineMs);
      }),
    ]);
    clearTimeout(late);
  }

  async #measure(): Promise<void> {
    const { bus, groups, metrics, log } = this.deps;
    this.#busy = true;
    try {
      for (const [group, topic] of groups) metrics.lag.set({ topic }, await bus.lag(group, topic));
    } catch (error) {
      log.debug({ err: error }, 'the lag was not measured');
    } finally {
      this.#busy = false;
    }
  }
}
