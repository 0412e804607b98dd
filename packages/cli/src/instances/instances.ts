import type { Service } from '@halley/service/lifecycle';

import type { Instance } from './instance.js';

/** A process that has not ended when its own deadline is over hangs; it is killed this much later, in ms. */
const HANGS_MS = 400;

/** The processes of one tier on this host, as a service: all of them, or none. */
export class Instances implements Service {
  readonly name = 'instances';

  constructor(private readonly instances: readonly Instance[]) {}

  /** Resolves when all are ready. Throws when one gave up; then none is left. */
  async start(): Promise<void> {
    try {
      await Promise.all(this.instances.map((instance) => instance.start()));
    } catch (error) {
      await this.stop(2_000);
      throw error;
    }
  }

  /** Has all of them drain at once, and resolves when the last one has ended. */
  async stop(deadlineMs: number): Promise<void> {
    await Promise.all(this.instances.map((instance) => instance.stop(deadlineMs + HANGS_MS)));
  }
}
