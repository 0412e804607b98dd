/** Takes choices out of a number, and notes them when somebody reads along. */
export class Draw {
  #rest: number;

  constructor(
    seed: number,
    private readonly trace: string[] | undefined,
  ) {
    this.#rest = seed;
  }

  /** One of `count`. */
  of(name: string, count: number): number {
    const choice = this.#rest % count;
    this.#rest = Math.floor(this.#rest / count);
    this.trace?.push(`${name} ${choice}`);
    return choice;
  }
}
