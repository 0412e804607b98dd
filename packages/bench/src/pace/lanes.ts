import type { Outgoing, SendOutcome, Sender } from '../send/sender.js';

/** A push that is due. */
export interface DuePush {
  /** Index of its stream among all of the run. */
  readonly stream: number;
  readonly dueNs: bigint;
}

/** What one call was answered, push by push. */
export interface LaneReply {
  readonly pushes: readonly DuePush[];
  readonly outcomes: readonly SendOutcome[];
  readonly why: string;
}

export interface LanesOptions {
  readonly sender: Sender;
  /** A stream's pushes are all in one lane. */
  readonly lanes: number;
  /** Calls under way of one lane; above 1 they may overtake each other, and with them a stream's messages. */
  readonly inFlight: number;
  /** Pushes that wait for a call, over all lanes; then {@link Lanes.full} holds up who adds. */
  readonly maxWaiting: number;
  /** Makes the message, at the moment it is sent. */
  readonly outgoing: (push: DuePush) => Outgoing;
  readonly onReply: (reply: LaneReply) => void;
}

interface Lane {
  waiting: DuePush[];
  calls: number;
}

/**
 * Sends pushes in the order in which they were due, stream by stream: what came due while a lane's calls were under way goes
 * together with the next one.
 */
export class Lanes {
  readonly #lanes: Lane[];
  #waiting = 0;
  #calls = 0;
  #room: { readonly promise: Promise<void>; readonly resolve: () => void } | undefined;
  #idle: (() => void)[] = [];

  constructor(private readonly options: LanesOptions) {
    this.#lanes = Array.from({ length: options.lanes }, () => ({ waiting: [], calls: 0 }));
  }

  /** Pushes that wait for a call. */
  get waiting(): number {
    return this.#waiting;
  }

  add(push: DuePush): void {
    const lane = this.#lanes[push.stream % this.#lanes.length];
    if (!lane) return;
    lane.waiting.push(push);
    this.#waiting += 1;
    // What is due at the same moment goes together.
    if (lane.waiting.length === 1) queueMicrotask(() => this.#send(lane));
  }

  /** Undefined while more can be added, else resolves when that is so again. */
  full(): Promise<void> | undefined {
    if (this.#waiting < this.options.maxWaiting) return undefined;
    if (!this.#room) {
      let resolve = (): void => undefined;
      const promise = new Promise<void>((resolved) => {
        resolve = resolved;
      });
      this.#room = { promise, resolve };
    }
    return this.#room.promise;
  }

  /** Gives up what waits for a call; answers how many that were. */
  giveUp(): number {
    const count = this.#waiting;
    for (const lane of this.#lanes) lane.waiting = [];
    this.#waiting = 0;
    this.#tell();
    return count;
  }

  /** Resolves when nothing waits and no call is under way. */
  idle(): Promise<void> {
    if (this.#calls === 0 && this.#waiting === 0) return Promise.resolve();
    return new Promise((resolve) => this.#idle.push(resolve));
  }

  #send(lane: Lane): void {
    const { sender, inFlight, outgoing, onReply } = this.options;
    while (lane.waiting.length > 0 && lane.calls < inFlight) {
      const pushes = lane.waiting.splice(0, sender.maxBatch);
      this.#waiting -= pushes.length;
      lane.calls += 1;
      this.#calls += 1;
      void sender.send(pushes.map(outgoing)).then(({ outcomes, why }) => {
        lane.calls -= 1;
        this.#calls -= 1;
        onReply({ pushes, outcomes, why });
        this.#send(lane);
        this.#tell();
      });
    }
    this.#tell();
  }

  #tell(): void {
    if (this.#room && this.#waiting < this.options.maxWaiting) {
      this.#room.resolve();
      this.#room = undefined;
    }
    if (this.#calls === 0 && this.#waiting === 0) for (const resolve of this.#idle.splice(0)) resolve();
  }
}
