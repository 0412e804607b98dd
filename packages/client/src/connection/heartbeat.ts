import type { Clock } from '../clock.js';

export interface HeartbeatOptions {
  readonly intervalMs: number;
  /** How long a peer that says nothing after a beat is waited for. */
  readonly timeoutMs: number;
  /** Sends one. */
  readonly beat: () => void;
  /** The peer is not there any more. */
  readonly dead: () => void;
}

/** Beats in an interval, and sees a peer that says nothing after a beat. */
export class Heartbeat {
  readonly #clock: Clock;
  readonly #options: HeartbeatOptions;
  #cancelBeat: () => void = () => undefined;
  #cancelTimeout: (() => void) | undefined;

  constructor(clock: Clock, options: HeartbeatOptions) {
    this.#clock = clock;
    this.#options = options;
    this.#schedule();
  }

  /** The peer said something, whatever it was. */
  heard(): void {
    this.#cancelTimeout?.();
    this.#cancelTimeout = undefined;
  }

  stop(): void {
    this.heard();
    this.#cancelBeat();
  }

  /** Does not wait for the next beat's time. */
  now(): void {
    const { timeoutMs, beat, dead } = this.#options;
    this.#cancelTimeout ??= this.#clock.after(timeoutMs, dead);
    this.#cancelBeat();
    this.#schedule();
    beat();
  }

  #schedule(): void {
    this.#cancelBeat = this.#clock.after(this.#options.intervalMs, () => this.now());
  }
}
