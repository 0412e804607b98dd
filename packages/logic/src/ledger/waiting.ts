import type { Clock } from '@halley/service/clock';
import { type Bus, Topic } from '@halley/store/bus/bus';
import { within } from '@halley/store/bus/within';

export interface WaitingDeps {
  readonly bus: Pick<Bus, 'lag'>;
  /** The groups that read halley-push and halley-bulk. */
  readonly pushGroup: string;
  readonly bulkGroup: string;
  readonly clock: Clock;
}

/** For so long an answer of the bus is believed: whoever asks for unknown ids all the time asks the bus seldom. */
const BELIEVED_MS = 500;
/** A trace waits so long for it. */
const ASKED_MS = 1_000;

/**
 * Whether pushes were accepted that nobody has taken in: until then nothing but the bus knows their ids, and it is not
 * searched.
 */
export class WaitingPushes {
  #asked: Promise<string | undefined> | undefined;
  #askedAtMs = -Infinity;

  constructor(private readonly deps: WaitingDeps) {}

  /** A sentence for who asks for a push of which nothing is known; undefined when none waits. */
  note(): Promise<string | undefined> {
    const now = this.deps.clock.monotonicMs();
    if (!this.#asked || now - this.#askedAtMs >= BELIEVED_MS) {
      this.#askedAtMs = now;
      this.#asked = this.#ask();
    }
    return this.#asked;
  }

  async #ask(): Promise<string | undefined> {
    const { bus, pushGroup, bulkGroup } = this.deps;
    const asked = Promise.all([bus.lag(bulkGroup, Topic.Bulk), bus.lag(pushGroup, Topic.Push)]);
    const lags = await within(asked, ASKED_MS).catch(() => undefined);
    if (!lags) return 'The bus is away: it may have been accepted, and wait there.';
    const [bulk, normal] = lags;
    const where = [
      ...(bulk > 0 ? [`${recordsText(bulk)} in ${Topic.Bulk}`] : []),
      ...(normal > 0 ? [`${recordsText(normal)} in ${Topic.Push}`] : []),
    ];
    if (where.length === 0) return undefined;
    return `Accepted pushes wait to be taken in (${where.join(', ')}): it may be among them.`;
  }
}

function recordsText(count: number): string {
  return count === 1 ? '1 record' : `${count} records`;
}
