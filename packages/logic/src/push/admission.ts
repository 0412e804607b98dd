import { HalleyError } from '@halley/protocol/error';
import type { Clock } from '@halley/service/clock';

export interface AdmissionOptions {
  /** Pushes that may be on their way into the bus at once. */
  readonly maxInFlight: number;
  /** Their bodies together. */
  readonly maxQueuedBytes: number;
  readonly clock: Clock;
}

const MIN_RETRY_MS = 50;
const MAX_RETRY_MS = 5_000;

/** Bounds what logic has taken and not yet written, so that an overload is told at once instead of waited out. */
export class Admission {
  #inFlight = 0;
  #bytes = 0;
  /** How long a push lately took, smoothed. */
  #heldMs = MIN_RETRY_MS;

  constructor(private readonly options: AdmissionOptions) {}

  get inFlight(): number {
    return this.#inFlight;
  }

  get queuedBytes(): number {
    return this.#bytes;
  }

  /** Lets pushes in; the answered function lets them out again. Throws `overloaded` with a hint when there is no room. */
  enter(pushes: number, bytes: number): () => void {
    const { maxInFlight, maxQueuedBytes, clock } = this.options;
    if (
      this.#inFlight > 0 &&
      (this.#inFlight + pushes > maxInFlight || this.#bytes + bytes > maxQueuedBytes)
    ) {
      throw new HalleyError('overloaded', undefined, { retryAfterMs: this.#retryAfterMs() });
    }
    this.#inFlight += pushes;
    this.#bytes += bytes;
    const since = clock.monotonicMs();
    return () => {
      this.#inFlight -= pushes;
      this.#bytes -= bytes;
      this.#heldMs += (clock.monotonicMs() - since - this.#heldMs) / 16;
    };
  }

  #retryAfterMs(): number {
    return Math.round(Math.min(MAX_RETRY_MS, Math.max(MIN_RETRY_MS, this.#heldMs * 2)));
  }
}
