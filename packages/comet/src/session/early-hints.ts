import type { Clock } from '@halley/service/clock';

export interface EarlyHintsDeps {
  readonly clock: Clock;
  /** How long a hint is remembered: as long as a handshake may take. */
  readonly holdMs: number;
}

/** Streams remembered at most; beyond it every handshake is taken to have missed something. */
const MAX_STREAMS = 10_000;

/**
 * Streams of which job told something that no connection here follows: the route of a connection is written before it is
 * in the tables, so a hint can come in between. Who is authenticated then reads its stream at once.
 */
export class EarlyHints {
  /** Until when each is remembered, oldest first. */
  readonly #untilMs = new Map<string, number>();
  #anyUntilMs = Number.NEGATIVE_INFINITY;

  constructor(private readonly deps: EarlyHintsDeps) {}

  /** Streams that are remembered. */
  get size(): number {
    return this.#untilMs.size;
  }

  add(stream: string): void {
    const now = this.deps.clock.monotonicMs();
    this.#untilMs.delete(stream);
    for (const [oldest, untilMs] of this.#untilMs) {
      if (untilMs > now) {
        if (this.#untilMs.size < MAX_STREAMS) break;
        this.addAny();
      }
      this.#untilMs.delete(oldest);
    }
    this.#untilMs.set(stream, now + this.deps.holdMs);
  }

  /** Hints may have been lost, of whatever stream. */
  addAny(): void {
    this.#anyUntilMs = this.deps.clock.monotonicMs() + this.deps.holdMs;
  }

  /** Whether a connection that is authenticated now may have missed a hint. */
  missed(stream: string): boolean {
    const now = this.deps.clock.monotonicMs();
    return now < this.#anyUntilMs || now < (this.#untilMs.get(stream) ?? now);
  }
}
