/** Counts what happens for every receiver of every message: plain numbers, which the metric is given on each scrape. */
export class Tally {
  readonly #counts = new Map<string, number>();

  add(value: string, count = 1): void {
    this.#counts.set(value, (this.#counts.get(value) ?? 0) + count);
  }

  /** Hands over what was counted since the last time. */
  handOver(take: (value: string, count: number) => void): void {
    for (const [value, count] of this.#counts) {
      if (count > 0) take(value, count);
      this.#counts.set(value, 0);
    }
  }
}
