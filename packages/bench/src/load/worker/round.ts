import { LatencyCounts } from '../latency-counts.js';
import type { ConnectedReport, WorkerPlan } from '../lines.js';
import type { Connection, State } from './connection.js';
import { Names } from './tally.js';

const MAX_ATTEMPTS = 8;
const FIRST_PAUSE_MS = 50;
/** Begun in one turn at most, so that what comes meanwhile is read. */
const BEGUN_AT_ONCE = 64;

/** One call that connects whatever is not open: its pace, its attempts, its outcome. */
export class Round {
  readonly #plan: WorkerPlan;
  readonly #connections: readonly Connection[];
  readonly #clockNs: () => number;
  readonly #onDone: (report: ConnectedReport) => void;
  readonly #latency = new LatencyCounts();
  readonly #failed = new Names();
  readonly #retried = new Names();
  readonly #again: Connection[] = [];
  readonly #beganNs: number;
  #connected = 0;
  /** Of `connections`: what lies before was begun. */
  #next = 0;
  #begun = 0;
  #underWay = 0;
  /** Connections that are neither open nor given up. */
  #left: number;
  #done = false;

  constructor(
    plan: WorkerPlan,
    connections: readonly Connection[],
    clockNs: () => number,
    onDone: (report: ConnectedReport) => void,
  ) {
    this.#plan = plan;
    this.#connections = connections;
    this.#clockNs = clockNs;
    this.#onDone = onDone;
    this.#beganNs = clockNs();
    this.#left = connections.filter(({ state }) => state !== 'open').length;
    if (this.#left === 0) this.#finish();
  }

  get done(): boolean {
    return this.#done;
  }

  /** Begins what is due. To be called about every millisecond. */
  turn(): void {
    for (let begun = 0; begun < BEGUN_AT_ONCE && this.#underWay < this.#plan.atOnce; begun += 1) {
      const again = this.#again.shift();
      const first = again ? undefined : this.#nextDue();
      if (!again && !first) return;
      this.#underWay += 1;
      again?.begin();
      first?.beginFirst();
    }
  }

  onOpen(connection: Connection): void {
    this.#underWay -= 1;
    this.#connected += 1;
    this.#latency.record(this.#clockNs() - connection.beganNs);
    this.#settle();
  }

  onPaused(connection: Connection): void {
    this.#again.push(connection);
  }

  onLost(connection: Connection, reason: string, was: State): void {
    if (was === 'open') {
      // It is connected again by this call, if that has not come past it.
      if (connection.index - this.#plan.first >= this.#next) this.#left += 1;
      return;
    }
    this.#underWay -= 1;
    if (!isPassing(reason) || connection.attempts >= MAX_ATTEMPTS) {
      this.#failed.add(reason);
      this.#settle();
      return;
    }
    this.#retried.add(reason);
    const pauseMs = FIRST_PAUSE_MS * 2 ** (connection.attempts - 1);
    connection.pause(pauseMs * (0.5 + Math.random() / 2));
  }

  /** Ends the call: what was under way was cut off. */
  drop(underWay: number): void {
    for (let i = 0; i < underWay; i += 1) this.#failed.add('dropped');
    this.#finish();
  }

  #nextDue(): Connection | undefined {
    const { perSecond } = this.#plan;
    while (this.#connections[this.#next] && this.#connections[this.#next]?.state !== 'idle') this.#next += 1;
    const seconds = (this.#clockNs() - this.#beganNs) / 1e9;
    if (perSecond > 0 && this.#begun > seconds * perSecond) return undefined;
    const connection = this.#connections[this.#next];
    if (!connection) return undefined;
    this.#next += 1;
    this.#begun += 1;
    return connection;
  }

  #settle(): void {
    this.#left -= 1;
    if (this.#left === 0) this.#finish();
  }

  #finish(): void {
    this.#done = true;
    this.#onDone({
      is: 'connected',
      connected: this.#connected,
      failed: this.#failed.take(),
      retried: this.#retried.take(),
      beganNs: `${this.#beganNs}`,
      endedNs: `${this.#clockNs()}`,
      latency: this.#latency.take(),
    });
  }
}

/** Whether another attempt may end otherwise: not after a refusal that is final, and not with what is no server of ours. */
function isPassing(reason: string): boolean {
  const [, kind, number = ''] = /^(code|http|bad)_(.*)$/.exec(reason) ?? [];
  if (kind === 'code') return Number(number) < 3500;
  if (kind === 'http') return Number(number) >= 500;
  return kind !== 'bad' && reason !== 'version_1';
}
