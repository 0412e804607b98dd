import type { Absence } from '../check/log.js';

/** The times in which a device, by its own doing, could not be shown anything. */
export class Absences {
  readonly #spans: Absence[] = [];
  #fromMs: number | undefined;
  #reasons = 0;
  #isFrozen = false;

  /** Those that are over. */
  get spans(): readonly Absence[] {
    return this.#spans;
  }

  /** It left, or stopped reading; it may do both. */
  begin(nowMs: number, why: 'left' | 'frozen'): void {
    this.#reasons += 1;
    this.#isFrozen ||= why === 'frozen';
    this.#fromMs ??= nowMs;
  }

  /** One reason is gone. */
  end(nowMs: number): void {
    this.#reasons -= 1;
    if (this.#reasons > 0 || this.#fromMs === undefined) return;
    this.#spans.push({ fromMs: this.#fromMs, untilMs: nowMs, ...(this.#isFrozen ? { frozen: true } : {}) });
    this.#fromMs = undefined;
    this.#isFrozen = false;
  }
}
