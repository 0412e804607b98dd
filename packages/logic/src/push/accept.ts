import { HalleyError } from '@halley/protocol/error';
import type { ConnectionKey, UserId } from '@halley/protocol/ids';
import type { Clock } from '@halley/service/clock';
import { type Exceptions, NO_EXCEPTIONS } from '@halley/service/exceptions';
import type { Logger } from '@halley/service/log';
import { RecordsTooLarge, Topic, type Bus } from '@halley/store/bus/bus';
import { recordSize } from '@halley/store/bus/record-size';
import type { Routes } from '@halley/store/routes/routes';
import { streamOf } from '@halley/store/shard';
import type { Streams } from '@halley/store/streams/streams';

import type { LogicMetrics } from '../metrics.js';
import type { Admission } from './admission.js';
import { Lanes, type Lane } from './lane.js';
import { joinErrors, outcomeOf } from './outcome.js';
import type { Scheduler } from '../schedule/scheduler.js';
import { packWithin, tooLarge, type PackedRecord, type RecordContext } from './record.js';
import type { PushMessage, Target } from './target.js';

export interface PushAcceptorDeps {
  readonly bus: Bus;
  readonly routes: Routes;
  readonly streams: Pick<Streams, 'full' | 'appliedAt'>;
  readonly admission: Admission;
  /** What the bus takes as one record at most. */
  readonly maxRecordBytes: number;
  readonly clock: Clock;
  readonly log: Logger;
  readonly metrics: LogicMetrics;
  readonly exceptions?: Exceptions;
  /** Takes what is for later; absent: it is refused. */
  readonly scheduler?: Scheduler;
}

/** Where pushes come from. */
export interface PushOrigin {
  /** Keeps the order among pushes of one origin: a stream's own lane, or the address of a connection. */
  readonly lane: Lane | string;
  /** The API key's name; empty when none is required. */
  readonly caller: string;
  /** W3C trace context; empty is none. */
  readonly traceparent: string;
  /** When the caller stops waiting (Clock.monotonicMs): later the push is not written any more. */
  readonly deadlineMs?: number | undefined;
  /** Told of pushes that had been taken in before under the id that the caller gave, before they are answered. */
  readonly onDuplicate?: (push: PushMessage) => void;
  /** Told of pushes that wait, and for when, before they are answered. */
  readonly onScheduled?: (push: PushMessage, deliverAtMs: number) => void;
}

/** Room is made by the archive, in seconds rather than milliseconds. */
const FULL_RETRY_MS = 1_000;

type Owners = ReadonlyMap<ConnectionKey, UserId>;

const NO_OWNERS: Owners = new Map();

/**
 * Takes pushes: accepted means written to the bus for good, or, what is for later, to the schedules. Pushes of one origin
 * are handed over in the order of the calls, so that they keep it per user and room.
 */
export class PushAcceptor {
  readonly #lanes = new Lanes();

  constructor(private readonly deps: PushAcceptorDeps) {}

  /** Takes one push. Rejects with why it was refused, or with an outcome that is unknown. */
  async accept(push: PushMessage, origin: PushOrigin): Promise<void> {
    const [error] = await this.acceptAll([push], origin);
    if (error) throw error;
  }

  /** Takes pushes in order and answers each: undefined is OK. Rejects, with none written, only with `overloaded`. */
  acceptAll(pushes: readonly PushMessage[], origin: PushOrigin): Promise<(HalleyError | undefined)[]> {
    const { admission, clock, metrics } = this.deps;
    const since = clock.monotonicMs();
    let leave: () => void;
    try {
      leave = admission.enter(
        pushes.length,
        pushes.reduce((sum, push) => sum + push.body.length, 0),
      );
    } catch (error) {
      metrics.admissionRefusals.inc(pushes.length);
      for (const push of pushes) metrics.pushes.inc({ target: push.target.kind, outcome: 'refused' });
      return Promise.reject(HalleyError.from(error));
    }
    const owners = this.#needsOf(pushes, origin);
    const start = (known: Owners) => this.#produce(pushes, known, origin);
    const answered =
      typeof origin.lane === 'string'
        ? this.#lanes.run(origin.lane, owners, start)
        : origin.lane.run(owners, start);
    return this.#told(pushes, answered, since, leave);
  }

  /** Lets pushes out of the admission when it is known what became of them; a fault is told to their caller, too. */
  async #told(
    pushes: readonly PushMessage[],
    answered: Promise<(HalleyError | undefined)[]>,
    since: number,
    leave: () => void,
  ): Promise<(HalleyError | undefined)[]> {
    let errors: (HalleyError | undefined)[];
    try {
      errors = await answered;
    } catch (error) {
      this.deps.log.error({ err: error }, 'a push was lost to a fault');
      errors = pushes.map(() => HalleyError.from(error));
    }
    leave();
    this.#count(pushes, errors, (this.deps.clock.monotonicMs() - since) / 1_000);
    return errors;
  }

  #count(
    pushes: readonly PushMessage[],
    errors: readonly (HalleyError | undefined)[],
    seconds: number,
  ): void {
    const { metrics } = this.deps;
    const ok = new Map<Target['kind'], number>();
    for (const [index, { target }] of pushes.entries()) {
      const { kind } = target;
      if (errors[index]) metrics.pushes.inc({ target: kind, outcome: outcomeOf(errors[index]) });
      else ok.set(kind, (ok.get(kind) ?? 0) + 1);
      metrics.acceptSeconds.observe({ target: kind }, seconds);
    }
    for (const [target, count] of ok) metrics.pushes.inc({ target, outcome: 'ok' }, count);
  }

  /** Called in order; hands everything over before it returns. */
  async #produce(
    pushes: readonly PushMessage[],
    owners: Owners,
    origin: PushOrigin,
  ): Promise<(HalleyError | undefined)[]> {
    const { bus, streams, clock } = this.deps;
    if (origin.deadlineMs !== undefined && origin.deadlineMs <= clock.monotonicMs()) {
      return pushes.map(() => new HalleyError('deadline_exceeded'));
    }
    const context = {
      partitions: bus.partitions(Topic.Push),
      owners,
      acceptedAtMs: clock.now(),
      traceparent: origin.traceparent,
      caller: origin.caller,
    };
    // Job pauses then: what is not taken in is not accepted.
    const full = streams.full();
    const scheduled: Promise<void>[] = [];
    const outcomes = pushes.map((push): (HalleyError | undefined)[] => {
      const error = this.#expired(push, context);
      if (error) return [error];
      if (isForLater(push)) {
        const outcome: (HalleyError | undefined)[] = [];
        scheduled.push(this.#schedule(push, context, origin).then((failed) => void outcome.push(failed)));
        return outcome;
      }
      return full ? [new HalleyError('store_full', undefined, { retryAfterMs: FULL_RETRY_MS })] : [];
    });
    const records: PackedRecord[] = [];
    const written: Promise<HalleyError | undefined>[] = [];
    // Each class has its topic, and its own order.
    for (const topic of [Topic.Push, Topic.Bulk]) {
      const places = [...pushes.keys()].filter(
        (index) =>
          outcomes[index]!.length === 0 &&
          !isForLater(pushes[index]!) &&
          (pushes[index]!.bulk === true) === (topic === Topic.Bulk),
      );
      if (places.length === 0) continue;
      const packed = packWithin(
        places.map((index) => pushes[index]!),
        context,
        this.deps.maxRecordBytes,
      );
      for (const [at, error] of packed.refused) outcomes[places[at]!]!.push(error);
      for (const one of packed.records) {
        records.push({ ...one, pushes: one.pushes.map((at) => places[at]!) });
        written.push(this.#write(topic, one, origin));
      }
    }
    for (const [at, error] of (await Promise.all(written)).entries()) {
      for (const index of records[at]?.pushes ?? []) outcomes[index]?.push(error);
    }
    await Promise.all(scheduled);
    return outcomes.map(joinErrors);
  }

  async #schedule(
    push: PushMessage,
    context: RecordContext,
    { deadlineMs, onDuplicate, onScheduled }: PushOrigin,
  ): Promise<HalleyError | undefined> {
    try {
      const { scheduler } = this.deps;
      if (!scheduler) throw new HalleyError('invalid_argument', 'deliver_at_ms: nothing waits here');
      const { deliverAtMs, duplicate } = await scheduler.schedule(push, context, deadlineMs);
      if (duplicate) onDuplicate?.(push);
      onScheduled?.(push, deliverAtMs);
      return undefined;
    } catch (error) {
      return HalleyError.from(error);
    }
  }

  /** Nobody would be shown it: it may have waited for its turn. */
  #expired(push: PushMessage, { acceptedAtMs, caller }: RecordContext): HalleyError | undefined {
    if (push.expireAtMs === 0 || push.expireAtMs > acceptedAtMs) return undefined;
    const { exceptions = NO_EXCEPTIONS } = this.deps;
    exceptions.tell({ id: push.id, caller, kind: 'refused', reason: 'expired' });
    return new HalleyError('invalid_argument', 'expire_at_ms: has passed');
  }

  async #write(topic: Topic, { record }: PackedRecord, origin: PushOrigin): Promise<HalleyError | undefined> {
    const { deadlineMs } = origin;
    try {
      await this.deps.bus.produce(topic, [record], deadlineMs === undefined ? {} : { deadlineMs });
      return undefined;
    } catch (error) {
      // The brokers may allow less than the configuration says.
      if (RecordsTooLarge.in(error)?.records === 1) return tooLarge(recordSize(record), 'the bus takes');
      return HalleyError.from(error);
    }
  }

  /** What has to be known before pushes are written; at once where that is nothing. */
  #needsOf(pushes: readonly PushMessage[], origin: PushOrigin): Owners | Promise<Owners> {
    const owners = this.#ownersOf(pushes);
    const { onDuplicate } = origin;
    const named = onDuplicate ? pushes.filter(({ idGiven, durable }) => idGiven && durable) : [];
    if (named.length === 0 || !onDuplicate) return owners;
    return Promise.resolve(owners).then(async (known) => {
      const duplicates = await Promise.all(named.map((push) => this.#isApplied(push, known, origin.caller)));
      for (const [at, push] of named.entries()) if (duplicates[at]) onDuplicate(push);
      return known;
    });
  }

  /**
   * Whether the id is known where the push goes first; not known while the store is away. It is written all the same: where
   * else it goes it may be missing, and an id for another content is to be told.
   */
  async #isApplied({ id, target }: PushMessage, owners: Owners, caller: string): Promise<boolean> {
    const stream = firstStreamOf(target, owners);
    if (stream === undefined) return false;
    try {
      return (await this.deps.streams.appliedAt(stream, caller, id)) !== undefined;
    } catch {
      return false;
    }
  }

  /** Whose keys they are; undefined keys and, while the store is away, all keys go by themselves. */
  #ownersOf(pushes: readonly PushMessage[]): Owners | Promise<Owners> {
    const keys = pushes.flatMap(({ target }) => (target.kind === 'keys' ? target.keys : []));
    if (keys.length === 0) return NO_OWNERS;
    return this.deps.routes.owners([...new Set(keys)]).catch((error: unknown) => {
      this.deps.metrics.ownerLookupFailures.inc();
      this.deps.log.debug({ err: error }, 'owners of keys are unknown: their pushes go by key');
      return NO_OWNERS;
    });
  }
}

function isForLater({ deliverAtMs, group }: PushMessage): boolean {
  return deliverAtMs !== undefined || group !== undefined;
}

/** A stream whose shard knows the ids of a push; undefined where none does. */
function firstStreamOf(target: Target, owners: Owners): string | undefined {
  switch (target.kind) {
    case 'users':
      return target.users[0] && streamOf.user(target.users[0]);
    case 'keys': {
      const owner = target.keys.map((key) => owners.get(key)).find((mid) => mid !== undefined && mid !== '0');
      return owner && streamOf.user(owner);
    }
    case 'room':
      return streamOf.room(target.room);
    case 'everyone':
      return streamOf.everyone;
  }
}
