import type { Service } from './lifecycle.js';

/**
 * A service that is made, and its modules loaded, when it is started: what fails before then fails at once. Stopped while
 * it is being made, it is not started any more.
 */
export class LateService<Made extends Service> implements Service {
  #service: Made | undefined;
  #stopped = false;

  constructor(
    readonly name: string,
    private readonly make: () => Promise<Made>,
  ) {}

  /** Undefined until it is made. */
  get service(): Made | undefined {
    return this.#service;
  }

  async start(): Promise<void> {
    const service = await this.make();
    if (this.#stopped) return;
    this.#service = service;
    await service.start();
  }

  async stop(deadlineMs: number): Promise<void> {
    this.#stopped = true;
    await this.#service?.stop(deadlineMs);
  }
}
