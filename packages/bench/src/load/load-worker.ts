import { readFileSync } from 'node:fs';

import { lineOf, readLine, type Command, type Report, type WorkerPlan } from './lines.js';
import { Connection, type ConnectionDeps, type State } from './worker/connection.js';
import { Round } from './worker/round.js';
import { Tally } from './worker/tally.js';
import { Wheel } from './worker/wheel.js';

const BEGIN_EVERY_MS = 1;
const TURN_EVERY_MS = 10;
/** Descriptors that are not connections. */
const OTHER_DESCRIPTORS = 64;

/**
 * The worker in Node, for where there is no compiler: it does what the native one does, by the same lines, and costs several
 * times as much.
 */
export class LoadWorker {
  readonly #write: (line: string) => void;
  #connections: readonly Connection[] = [];
  #plan: WorkerPlan | undefined;
  #tally = new Tally(0n);
  #round: Round | undefined;
  #open = 0;
  #turning: NodeJS.Timeout | undefined;
  #beginning: NodeJS.Timeout | undefined;

  /** `write` gets the lines of its answers. */
  constructor(write: (line: string) => void) {
    this.#write = write;
  }

  /** Does what a line says. */
  obey(line: string): void {
    try {
      this.#do(readLine(line) as Command);
    } catch (error) {
      this.#report({ is: 'fault', text: (error as Error).message });
    }
  }

  /** Ends all connections. */
  stop(): void {
    this.#drop();
    clearInterval(this.#turning);
    clearInterval(this.#beginning);
  }

  #do(command: Command): void {
    if (!this.#plan && command.do !== 'plan' && command.do !== 'stop')
      throw new TypeError('do: the plan comes first, and once');
    switch (command.do) {
      case 'plan':
        this.#take(command);
        this.#report({ is: 'ready' });
        break;
      case 'connect':
        this.#connect();
        break;
      case 'sample':
        this.#report(this.#tally.take(this.#open));
        break;
      case 'drop':
        this.#drop();
        this.#report({ is: 'dropped' });
        break;
      case 'stop':
        this.stop();
        break;
    }
  }

  #take(plan: WorkerPlan): void {
    if (this.#plan) throw new TypeError('do: the plan comes first, and once');
    checkDescriptors(plan.connections);
    const wheel = new Wheel(() => clockNs() / 1e6);
    this.#tally = new Tally(BigInt(plan.run));
    const deps: ConnectionDeps = {
      plan,
      wheel,
      tally: this.#tally,
      clockNs,
      onOpen: (connection) => {
        this.#open += 1;
        this.#round?.onOpen(connection);
      },
      onLost: (connection, reason, was) => this.#onLost(connection, reason, was),
      onPaused: (connection) => this.#round?.onPaused(connection),
    };
    this.#connections = Array.from(
      { length: plan.connections },
      (_, i) => new Connection(plan.first + i, deps),
    );
    this.#plan = plan;
    this.#turning = setInterval(() => wheel.turn(), TURN_EVERY_MS);
  }

  #onLost(connection: Connection, reason: string, was: State): void {
    if (was === 'open') {
      this.#open -= 1;
      this.#tally.closed.add(reason);
    }
    if (this.#round?.done === false) this.#round.onLost(connection, reason, was);
  }

  #connect(): void {
    if (!this.#plan) return;
    const round = new Round(this.#plan, this.#connections, clockNs, (report) => {
      clearInterval(this.#beginning);
      this.#report(report);
    });
    this.#round = round;
    if (round.done) return;
    this.#beginning = setInterval(() => round.turn(), BEGIN_EVERY_MS);
    round.turn();
  }

  #drop(): void {
    const underWay = this.#connections.filter(({ state }) => state === 'handshake' || state === 'waiting');
    for (const connection of this.#connections) connection.cut();
    this.#open = 0;
    if (this.#round?.done === false) this.#round.drop(underWay.length);
  }

  #report(report: Report): void {
    this.#write(lineOf(report));
  }
}

/** CLOCK_MONOTONIC, exact up to 104 days of it. */
function clockNs(): number {
  return Number(process.hrtime.bigint());
}

/** Throws RangeError where a process may not have as many descriptors. Node raises its own limit to the hard one. */
function checkDescriptors(connections: number): void {
  let limits = '';
  try {
    limits = readFileSync('/proc/self/limits', 'utf8');
  } catch {
    // Not on this system: then the connections tell.
  }
  const limit = Number(/^Max open files +(\d+)/m.exec(limits)?.[1] ?? Number.POSITIVE_INFINITY);
  if (connections + OTHER_DESCRIPTORS > limit)
    throw new RangeError(
      `connections: ${connections} in one process, which may have ${limit} descriptors; give it more processes`,
    );
}
