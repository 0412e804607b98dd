import type { NodeLoad, Registration } from '@halley/cluster/registry/registry';
import type { Service } from '@halley/service/lifecycle';
import type { Logger } from '@halley/service/log';

export interface LoadReporterDeps {
  readonly registration: Registration;
  readonly load: () => NodeLoad;
  readonly intervalMs: number;
  readonly log: Logger;
}

/** Writes the node's load into its registry entry, when it has changed, for the balancer. */
export class LoadReporter implements Service {
  readonly name = 'load reporter';
  #timer: NodeJS.Timeout | undefined;
  #updating = false;

  constructor(private readonly deps: LoadReporterDeps) {}

  async start(): Promise<void> {
    this.#timer ??= setInterval(() => void this.report(), this.deps.intervalMs);
  }

  async stop(_deadlineMs: number): Promise<void> {
    clearInterval(this.#timer);
  }

  /** One report; a report that is still under way is not doubled. */
  async report(): Promise<void> {
    const { registration, log } = this.deps;
    const load = this.deps.load();
    const { connections, ips } = registration.record.load;
    if (this.#updating || (load.connections === connections && load.ips === ips)) return;
    this.#updating = true;
    try {
      await registration.update({ load });
    } catch (error) {
      log.warn({ err: error }, 'the load was not registered');
    }
    this.#updating = false;
  }
}
