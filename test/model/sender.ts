import { partitionOf, type Push } from './bus.js';
import type { Draw } from './draw.js';
import type { World } from './world.js';

export type Outcome = 'ok' | 'refused' | 'unknown';

/** One push of a caller, over all its attempts. */
export interface Sent {
  readonly push: Push;
  outcome: Outcome;
}

/** What becomes of a produce to one partition. `late` is neither answered nor there, and may get there later. */
const PRODUCED = ['ok', 'ok', 'ok', 'ok', 'ok', 'refused', 'in', 'out', 'late'] as const;

/** After this time a retry would be another push. */
const GIVE_UP_HOURS = 20;

/** A caller: sends pushes one after the other, and repeats one of unknown outcome before it sends the next. */
export class Sender {
  #pending:
    | { readonly pushes: readonly Push[]; readonly sinceHours: number; refusedOnly: boolean }
    | undefined;

  constructor(
    private readonly world: World,
    readonly index: number,
  ) {}

  send(draw: Draw): void {
    const { hours, faults } = this.world;
    let pending = this.#pending;
    if (!pending || hours - pending.sinceHours >= GIVE_UP_HOURS) {
      pending = { pushes: this.#newPushes(draw), sinceHours: hours, refusedOnly: true };
    } else if (faults.nextBeforeRetry && draw.of('next first', 2) === 1) {
      this.#once(this.#newPushes(draw), draw);
      return;
    }
    this.#pending = pending;
    const pushes = pending.pushes.map((push) => ({ ...push, acceptedAtHours: hours }));
    const answers = this.#produce(pushes, draw);
    if (answers.some((answer) => answer !== 'refused')) pending.refusedOnly = false;
    const ok = answers.every((answer) => answer === 'ok');
    const outcome = ok ? 'ok' : pending.refusedOnly ? 'refused' : 'unknown';
    for (const { id } of pushes) this.world.sent.get(id)!.outcome = outcome;
    if (outcome !== 'unknown') this.#pending = undefined;
  }

  /** A push that is not repeated. */
  #once(pushes: readonly Push[], draw: Draw): void {
    const ok = this.#produce(pushes, draw).every((answer) => answer === 'ok');
    if (ok) for (const { id } of pushes) this.world.sent.get(id)!.outcome = 'ok';
  }

  /** Produces a record to each partition that the pushes touch; answers what the caller is told of each. */
  #produce(pushes: readonly Push[], draw: Draw): Outcome[] {
    const { bus, faults } = this.world;
    const partitions = [...new Set(pushes.flatMap(({ streams }) => streams.map(partitionOf)))];
    return partitions.map((partition) => {
      const record = {
        pushes: pushes.filter(({ streams }) => streams.some((one) => partitionOf(one) === partition)),
      };
      const produced = PRODUCED[draw.of('produced', PRODUCED.length)]!;
      if (produced === 'ok' || produced === 'in') bus.take(partition, record);
      if (produced === 'late') bus.late.push({ partition, record });
      if (produced === 'in') return faults.refuseAfterWrite ? 'refused' : 'unknown';
      if (produced === 'out') return faults.ackBeforeWrite ? 'ok' : 'unknown';
      return produced === 'late' ? 'unknown' : produced;
    });
  }

  #newPushes(draw: Draw): Push[] {
    const { devices, sent, hours } = this.world;
    const count = draw.of('packed', 4) === 3 ? 2 : 1;
    const to = draw.of('to', 7 + devices.length);
    const device = devices[to - 7];
    const streams = device ? [device.stream] : [0, 1, 2].filter((stream) => ((to + 1) & (1 << stream)) !== 0);
    const large = draw.of('large', 8) === 7;
    const key = draw.of('collapse', 5);
    return Array.from({ length: count }, () => {
      const push = {
        id: sent.size,
        sender: this.index,
        streams,
        only: device?.index,
        collapse: key < 2 ? key : undefined,
        large,
        acceptedAtHours: hours,
      };
      sent.set(push.id, { push, outcome: 'unknown' });
      return push;
    });
  }
}
