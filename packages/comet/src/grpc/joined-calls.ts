/**
 * Gathers what is asked of logic in one moment, so that it shares a call: the first goes with those of its turn of the loop, and
 * while a call is under way the next one waits up to `joinMs` for others.
 */
export class JoinedCalls<Asked> {
  #waiting: Asked[] = [];
  /** Calls under way. */
  #calls = 0;
  #turn: NodeJS.Immediate | undefined;
  #timer: NodeJS.Timeout | undefined;

  constructor(
    private readonly joinMs: number,
    /** Asks for these, of which there is one at least; tells of calls by `began` and `ended`. */
    private readonly send: (waiting: readonly Asked[]) => void,
  ) {}

  /** How many wait. */
  get size(): number {
    return this.#waiting.length;
  }

  add(asked: Asked): void {
    this.#waiting.push(asked);
    if (this.#calls === 0) this.#turn ??= setImmediate(() => this.flush());
    else this.#timer ??= setTimeout(() => this.flush(), this.joinMs);
  }

  /** Those who wait go now. */
  flush(): void {
    clearImmediate(this.#turn);
    clearTimeout(this.#timer);
    this.#turn = this.#timer = undefined;
    const waiting = this.#waiting;
    this.#waiting = [];
    if (waiting.length > 0) this.send(waiting);
  }

  /** A call is under way. */
  began(): void {
    this.#calls += 1;
  }

  /** It is over: those who wait need not wait for others any more. */
  ended(): void {
    this.#calls -= 1;
    if (this.#calls === 0 && this.#waiting.length > 0) this.#turn ??= setImmediate(() => this.flush());
  }
}
