import type { HintDecision } from './sequencer.js';

/** What came of a hint; `hold`: it is decided behind the page that is being read. */
export type HintOutcome = HintDecision | 'hold';

/** Who follows a stream on one connection, in a chain with the others who follow it. */
export interface Told<Hint, Push> {
  readonly streamNext: Told<Hint, Push> | undefined;
  /** Follows it no longer. */
  readonly closed: boolean;
  hint(hint: Hint, push: Push): HintOutcome;
  /** It could not be told because of a fault of ours: its connection is closed. */
  fail(error: unknown): void;
}

interface Walk<Hint, Push> {
  readonly followers: readonly Told<Hint, Push>[];
  readonly hint: Hint;
  readonly push: Push;
  next: number;
}

export interface HintWalkDeps {
  onDecision(decision: HintOutcome): void;
  /** One follower could not be told, because of a fault of ours; the others are. */
  onFault(error: unknown): void;
}

export interface HintWalkOptions {
  /** Followers told between two turns of the event loop. */
  readonly perTurn: number;
  /** Followers that may wait to be told; beyond, they are told at once. */
  readonly maxWaiting: number;
}

const DEFAULTS: HintWalkOptions = { perTurn: 1_000, maxWaiting: 200_000 };

/**
 * Tells the followers of streams what job told of them: at once where they are few, and otherwise in turns, so that a room
 * with very many members holds nobody else up for long. Everything is told in the order in which it came.
 */
export class HintWalk<Hint, Push> {
  readonly #options: HintWalkOptions;
  #walks: Walk<Hint, Push>[] = [];
  #waiting = 0;
  #left: number;
  #immediate: NodeJS.Immediate | undefined;

  constructor(
    private readonly deps: HintWalkDeps,
    options: Partial<HintWalkOptions> = {},
  ) {
    this.#options = { ...DEFAULTS, ...options };
    this.#left = this.#options.perTurn;
  }

  /** Followers that wait to be told. */
  get waiting(): number {
    return this.#waiting;
  }

  /** Tells all of a chain; who joins it meanwhile is not told. */
  tell(first: Told<Hint, Push>, hint: Hint, push: Push): void {
    let follower: Told<Hint, Push> | undefined = first;
    if (this.#walks.length === 0) {
      for (; follower && this.#left > 0; this.#left -= 1) {
        // Being sent it may close the connection, which leaves the chain then.
        const next: Told<Hint, Push> | undefined = follower.streamNext;
        this.#tell(follower, hint, push);
        follower = next;
      }
    }
    this.#immediate ??= setImmediate(this.#turn);
    if (!follower) return;
    const followers: Told<Hint, Push>[] = [];
    for (; follower; follower = follower.streamNext) followers.push(follower);
    this.#walks.push({ followers, hint, push, next: 0 });
    this.#waiting += followers.length;
    if (this.#waiting > this.#options.maxWaiting) this.#go(Number.POSITIVE_INFINITY);
  }

  /** Tells nobody any more. */
  stop(): void {
    if (this.#immediate) clearImmediate(this.#immediate);
    this.#immediate = undefined;
    this.#walks = [];
    this.#waiting = 0;
  }

  readonly #turn = (): void => {
    this.#immediate = undefined;
    this.#left = this.#go(this.#options.perTurn);
    if (this.#walks.length > 0) this.#immediate = setImmediate(this.#turn);
  };

  #tell(follower: Told<Hint, Push>, hint: Hint, push: Push): void {
    try {
      this.deps.onDecision(follower.hint(hint, push));
    } catch (error) {
      this.deps.onFault(error);
      // Its turn may have passed: what it was not sent would be missing silently.
      follower.fail(error);
    }
  }

  /** Goes on with what waits; answers how many more could have been told. */
  #go(most: number): number {
    let left = most;
    let done = 0;
    for (const walk of this.#walks) {
      const { followers, hint, push } = walk;
      for (; walk.next < followers.length && left > 0; walk.next += 1, left -= 1) {
        const follower = followers[walk.next] as Told<Hint, Push>;
        this.#waiting -= 1;
        if (!follower.closed) this.#tell(follower, hint, push);
      }
      if (walk.next < followers.length) break;
      done += 1;
    }
    this.#walks.splice(0, done);
    return left;
  }
}
