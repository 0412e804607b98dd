import { HalleyError } from '@halley/protocol/error';
import type { Clock } from '@halley/service/clock';
import type { Bus } from '@halley/store/bus/bus';
import type {
  DeadLetter,
  DeadLetterId,
  DeadLetterPage,
  DeadLetterQuery,
  DeadLetterStore,
} from '@halley/store/dead/dead';

import type { LogicMetrics } from '../metrics.js';
import { outcomeOf } from '../push/outcome.js';
import { invalid } from '../push/target.js';

/** Letters of one page, and of one requeue. */
export const MAX_LETTERS = 1_000;
const DEFAULT_LETTERS = 50;

/** Says where a requeued record lay before: the id of its letter. */
export const REQUEUED_HEADER = 'halley-requeued';
/** Headers of ours mean the place that the record had, which is another now. */
const OWN_HEADERS = 'halley-';

export interface DeadLettersDeps {
  readonly dead: DeadLetterStore;
  readonly bus: Pick<Bus, 'produce'>;
  readonly clock: Clock;
  readonly metrics: LogicMetrics;
}

/** What is asked of {@link DeadLetters.list}; `limit` 0 is 50, `before` 0 or empty is from the newest. */
export interface DeadLetterAsk {
  readonly limit: number;
  readonly before: DeadLetterId;
  /** Empty is all. */
  readonly topic: string;
  readonly reason: string;
}

/** What became of one letter of a requeue: `error` is undefined when its record is durable in its topic. */
export interface Requeued {
  readonly id: DeadLetterId;
  readonly error: HalleyError | undefined;
}

/** Lists dead letters and appends their records again. */
export class DeadLetters {
  constructor(private readonly deps: DeadLettersDeps) {}

  /** A page, the newest first. Throws `invalid_argument` that names the field. */
  async list({ limit, before, topic, reason }: DeadLetterAsk): Promise<DeadLetterPage> {
    if (!Number.isInteger(limit) || limit < 0 || limit > MAX_LETTERS)
      throw invalid('limit', `must be 1 to ${MAX_LETTERS}, or 0 for ${DEFAULT_LETTERS}`);
    const query: DeadLetterQuery = {
      maxLetters: limit === 0 ? DEFAULT_LETTERS : limit,
      ...(before !== '' && before !== '0' && { before: checkedId(before, 'before') }),
      ...(topic !== '' && { topic }),
      ...(reason !== '' && { reason }),
    };
    return this.deps.dead.list(query);
  }

  /** One letter with what the record held. Throws `not_found`. */
  async get(id: DeadLetterId): Promise<DeadLetter> {
    const letter = await this.deps.dead.get(checkedId(id, 'id'));
    if (!letter) throw notFound(id);
    return letter;
  }

  /**
   * Appends records at the end of where they came from, and answers each id, in order. One that was requeued before is
   * refused unless `force`. Throws `invalid_argument` when the ids are wrong; otherwise each has an answer of its own.
   */
  async requeue(ids: readonly DeadLetterId[], force: boolean): Promise<readonly Requeued[]> {
    if (ids.length === 0) throw invalid('ids', 'is empty');
    if (ids.length > MAX_LETTERS) throw invalid('ids', `${ids.length} entries, more than ${MAX_LETTERS}`);
    for (const [index, id] of ids.entries()) checkedId(id, `ids[${index}]`);
    const answers: Requeued[] = [];
    // One after another: records of one partition keep the order in which they are asked for.
    for (const id of ids) {
      const error = await this.#requeue(id, force).then(
        () => undefined,
        (thrown: unknown) => HalleyError.from(thrown),
      );
      this.deps.metrics.requeued.inc({ outcome: outcomeOf(error) });
      answers.push({ id, error });
    }
    return answers;
  }

  async #requeue(id: DeadLetterId, force: boolean): Promise<void> {
    const { dead, bus, clock } = this.deps;
    const atMs = clock.now();
    const claim = await dead.claim(id, atMs, force);
    if (claim.outcome === 'absent') throw notFound(id);
    if (claim.outcome === 'requeued')
      throw new HalleyError(
        'already_requeued',
        `dead letter ${id} was requeued at ${new Date(claim.atMs).toISOString()}; force requeues it again`,
      );
    const { letter } = claim;
    try {
      if (letter.cut) throw new HalleyError('invalid_argument', `ids: of dead letter ${id} not all was kept`);
      const { topic, partition, key, value } = letter;
      if (topic === '')
        throw new HalleyError('invalid_argument', `ids: dead letter ${id} does not say where it came from`);
      const headers = { ...foreign(letter.headers), [REQUEUED_HEADER]: id };
      await bus.produce(topic, [{ partition, key, value, headers }]);
    } catch (thrown) {
      const error = HalleyError.from(thrown);
      // What may be there stays marked: it is not to be there twice without somebody's will.
      if (outcomeOf(error) === 'refused') await dead.unclaim(id, atMs).catch(() => undefined);
      throw error;
    }
  }
}

function foreign(headers: Readonly<Record<string, string>>): Record<string, string> {
  return Object.fromEntries(Object.entries(headers).filter(([name]) => !name.startsWith(OWN_HEADERS)));
}

function checkedId(id: string, path: string): DeadLetterId {
  if (!/^[1-9]\d{0,15}$/.test(id)) throw invalid(path, `"${id.slice(0, 20)}" is no id of a dead letter`);
  return id;
}

function notFound(id: string): HalleyError {
  return new HalleyError('not_found', `there is no dead letter ${id}, or not any more`);
}
