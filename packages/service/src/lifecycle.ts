import type { Logger } from './log.js';

/** Something that is started and stopped. `stop` may be called at any time, also when `start` failed or never ran. */
export interface Service {
  readonly name: string;
  start(): Promise<void>;
  /** Stops within `deadlineMs`; what could not be finished by then is cut off. Idempotent. */
  stop(deadlineMs: number): Promise<void>;
}

/** Starts services in order and stops them in reverse; a failing start stops what had started and throws. */
export class ServiceGroup implements Service {
  readonly #started: Service[] = [];

  constructor(
    readonly name: string,
    private readonly services: readonly Service[],
    private readonly log: Logger,
  ) {}

  async start(): Promise<void> {
    for (const service of this.services) {
      this.#started.push(service);
      try {
        await service.start();
      } catch (error) {
        await this.stop(2_000);
        throw error;
      }
    }
  }

  async stop(deadlineMs: number): Promise<void> {
    const until = performance.now() + deadlineMs;
    for (let service = this.#started.pop(); service; service = this.#started.pop()) {
      try {
        await service.stop(Math.max(0, until - performance.now()));
      } catch (error) {
        this.log.warn({ err: error, service: service.name }, 'did not stop cleanly');
      }
    }
  }
}
