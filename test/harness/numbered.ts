import type { GoimClient } from './goim-client.js';
import type { Answer, Destination, Pusher } from './pushers.js';

/** Pushes to one user or room that carry their number, and how each was answered. */
export class NumberedPushes {
  /** By number; undefined while it is not answered. */
  readonly answers: (Answer | undefined)[] = [];

  constructor(
    readonly name: string,
    readonly to: Destination,
    readonly op: number,
    /** Put behind each number, to make the pushes larger. */
    private readonly padding = '',
  ) {}

  /** The number that the next push carries. */
  get next(): number {
    return this.answers.length;
  }

  /** Pushes the next number. Those of one pusher leave in the order of the calls. */
  async push(pusher: Pusher): Promise<Answer> {
    const number = this.answers.push(undefined) - 1;
    const answer = await pusher.push(this.to, this.op, `${this.name}/${number}/${this.padding}`);
    this.answers[number] = answer;
    return answer;
  }
}

/** A client, and the numbered pushes that it is to get: each from the number that was next when it joined. */
export class Receiver {
  readonly #from: Map<NumberedPushes, number>;
  #retired = false;

  /** Made once the client is authenticated: from then on it gets everything. */
  constructor(
    readonly name: string,
    readonly client: GoimClient,
    pushes: readonly NumberedPushes[],
  ) {
    this.#from = new Map(pushes.map((one) => [one, one.next]));
  }

  /** Pushes received so far. */
  get count(): number {
    return this.client.waiting.length;
  }

  /** Its connection is at an end that was meant: what it did not get is not held against anybody. */
  retire(): void {
    this.#retired = true;
    this.client.close();
  }

  /** What it has missed up to now is not held against anybody; what is pushed from now on is to arrive. */
  forgive(): void {
    for (const pushes of this.#from.keys()) this.#from.set(pushes, pushes.next);
  }

  /** What is wrong with what it got, in words: nothing when it is all, once and in order, up to these numbers. */
  faults(upTo: (pushes: NumberedPushes) => number): Faults {
    const { name, client } = this;
    const lost: string[] = [];
    const repeated: string[] = [];
    const disordered: string[] = [];
    const others: string[] = [...client.breaches];
    if (client.isClosed && !this.#retired) others.push('its connection is closed');
    const got = new Map([...this.#from.keys()].map((one): [string, number[]] => [one.name, []]));
    for (const { body } of client.waiting) {
      const [stream = '', number = ''] = body.toString().split('/');
      const numbers = got.get(stream);
      if (numbers) numbers.push(Number(number));
      else others.push(`got ${body.toString()}`);
    }
    for (const [pushes, from] of this.#from) {
      const had = new Set<number>();
      let highest = -1;
      for (const number of got.get(pushes.name) ?? []) {
        const which = `${name} ${pushes.name}/${number}`;
        if (pushes.answers[number]?.outcome === 'refused') others.push(`got ${which}, which was refused`);
        if (had.has(number)) repeated.push(which);
        // One whose outcome was not learnt, and that was not repeated before the next, has no order.
        else if (number < highest && pushes.answers[number]?.outcome !== 'unknown')
          disordered.push(`${which} after ${highest}`);
        had.add(number);
        highest = Math.max(highest, number);
      }
      if (this.#retired) continue;
      for (let number = from; number < upTo(pushes); number += 1) {
        if (pushes.answers[number]?.outcome === 'ok' && !had.has(number))
          lost.push(`${name} ${pushes.name}/${number}`);
      }
    }
    return { lost, repeated, disordered, others: others.map((what) => `${name}: ${what}`) };
  }
}

/** Breaches of "all, once and in order". */
export interface Faults {
  readonly lost: readonly string[];
  readonly repeated: readonly string[];
  readonly disordered: readonly string[];
  /** Connections that ended, frames that nobody pushed, breaches of the protocol. */
  readonly others: readonly string[];
}

export const NO_FAULTS: Faults = { lost: [], repeated: [], disordered: [], others: [] };

/** The faults of all of them, up to the numbers that are next now or are given. */
export function faultsOf(
  receivers: readonly Receiver[],
  upTo: (pushes: NumberedPushes) => number = (pushes) => pushes.next,
): Faults {
  const all = receivers.map((receiver) => receiver.faults(upTo));
  return {
    lost: all.flatMap(({ lost }) => lost),
    repeated: all.flatMap(({ repeated }) => repeated),
    disordered: all.flatMap(({ disordered }) => disordered),
    others: all.flatMap(({ others }) => others),
  };
}
