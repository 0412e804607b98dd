import type { NodeLoad, Registration } from '@halley/cluster/registry/registry';
import type { Clock } from '@halley/service/clock';
import type { Service } from '@halley/service/lifecycle';
import type { Logger } from '@halley/service/log';

export interface LoadReporterDeps {
  readonly registration: Registration;
  readonly load: () => NodeLoad;
  /** At least so long between two reports of a node that has connections. */
  readonly intervalMs: number;
  readonly clock: Clock;
  readonly log: Logger;
}

const LOOK_MS = 1_000;

/**
 * Writes the node's load into its registry entry, when it has changed, for the balancer: at its interval, and within a
 * second when the first connection came or the last one went.
 */
export class LoadReporter implements Service {
  readonly name = 'load reporter';
  #timer: NodeJS.Timeout | undefined;
  #updating = false;
  #reportedAtMs = Number.NEGATIVE_INFINITY;

  constructor(private readonly deps: LoadReporterDeps) {}

  async start(): Promise<void> {
    this.#timer ??= setInterval(() => void this.report(), LOOK_MS);
  }

  async stop(_deadlineMs: number): Promise<void> {
    clearInterval(this.#timer);
  }

  /** Reports when it is time; a report that is still under way is not doubled. */
  async report(): Promise<void> {
    const { registration, clock, log, intervalMs } = this.deps;
    const load = this.deps.load();
    const { connections, ips } = registration.record.load;
    if (this.#updating || (load.connections === connections && load.ips === ips)) return;
    const crossedZero = (load.connections === 0) !== (connections === 0);
    const now = clock.monotonicMs();
    if (!crossedZero && now - this.#reportedAtMs < intervalMs) return;
    this.#updating = true;
    this.#reportedAtMs = now;
    try {
      await registration.update({ load });
    } catch (error) {
      log.warn({ err: error }, 'the load was not registered');
    }
    this.#updating = false;
  }
}
