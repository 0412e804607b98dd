import type { Consumer } from 'kafkajs';
import type { Clock } from '@halley/service/clock';

/**
 * Watches one consuming client: the client tells that it crashed, but not when it hangs, as it can after a long pause
 * of the process or of the broker; it is taken for that when it neither fetches nor sends heartbeats.
 */
export class KafkaWatch {
  #lastSignMs: number;
  #crash: unknown;
  #wake: (() => void) | undefined;
  readonly #check: NodeJS.Timeout;

  constructor(
    client: Consumer,
    private readonly clock: Clock,
    private readonly maxSilentMs: number,
  ) {
    this.#lastSignMs = clock.monotonicMs();
    const sign = (): void => {
      this.#lastSignMs = clock.monotonicMs();
    };
    client.on(client.events.GROUP_JOIN, sign);
    client.on(client.events.HEARTBEAT, sign);
    client.on(client.events.FETCH, sign);
    client.on(client.events.CRASH, ({ payload }) => this.#end(payload.error));
    this.#check = setInterval(() => {
      if (this.silentMs() > this.maxSilentMs) this.#end(new Error('the consumer fell silent'));
    }, maxSilentMs / 8);
  }

  /** Since the last fetch, heartbeat or join. */
  silentMs(): number {
    return this.clock.monotonicMs() - this.#lastSignMs;
  }

  /** Resolves when `stop` aborts; throws why the client ended before. */
  async ended(stop: AbortSignal): Promise<void> {
    const aborted = (): void => this.#wake?.();
    stop.addEventListener('abort', aborted);
    while (!stop.aborted && this.#crash === undefined) {
      await new Promise<void>((resolve) => {
        this.#wake = resolve;
      });
    }
    stop.removeEventListener('abort', aborted);
    if (!stop.aborted) throw this.#crash;
  }

  close(): void {
    clearInterval(this.#check);
  }

  #end(crash: unknown): void {
    this.#crash ??= crash;
    this.#wake?.();
  }
}
