import { HalleyError } from '@halley/protocol/error';
import type { ConnectionKey, UserId } from '@halley/protocol/ids';
import type { Clock } from '@halley/service/clock';
import type { Logger } from '@halley/service/log';
import { RecordsTooLarge, Topic, type Bus } from '@halley/store/bus/bus';
import { recordSize } from '@halley/store/bus/record-size';
import type { Routes } from '@halley/store/routes/routes';
import type { Streams } from '@halley/store/streams/streams';

import type { LogicMetrics } from '../metrics.js';
import type { Admission } from './admission.js';
import { Lanes, type Lane } from './lane.js';
import { joinErrors, outcomeOf } from './outcome.js';
import { packWithin, tooLarge, type PackedRecord } from './record.js';
import type { PushMessage } from './target.js';

export interface PushAcceptorDeps {
  readonly bus: Bus;
  readonly routes: Routes;
  readonly streams: Pick<Streams, 'full'>;
  readonly admission: Admission;
  /** What the bus takes as one record at most. */
  readonly maxRecordBytes: number;
  readonly clock: Clock;
  readonly log: Logger;
  readonly metrics: LogicMetrics;
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
}

/** Room is made by the archive, in seconds rather than milliseconds. */
const FULL_RETRY_MS = 1_000;

const NO_OWNERS: ReadonlyMap<ConnectionKey, UserId> = new Map();

/**
 * Takes pushes: accepted means written to the bus for good. Pushes of one origin are handed to the bus in the order of
 * the calls, so that they keep it per user and room.
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
    const owners = this.#ownersOf(pushes);
    const start = (known: ReadonlyMap<ConnectionKey, UserId>) => this.#produce(pushes, known, origin);
    const answered =
      typeof origin.lane === 'string'
        ? this.#lanes.run(origin.lane, owners, start)
        : origin.lane.run(owners, start);
    return answered
      .catch((error: unknown) => {
        this.deps.log.error({ err: error }, 'a push was lost to a fault');
        return pushes.map(() => HalleyError.from(error));
      })
      .then((errors) => {
        const seconds = (clock.monotonicMs() - since) / 1_000;
        for (const [index, push] of pushes.entries()) {
          const { kind } = push.target;
          metrics.pushes.inc({ target: kind, outcome: outcomeOf(errors[index]) });
          metrics.acceptSeconds.observe({ target: kind }, seconds);
        }
        return errors;
      })
      .finally(leave);
  }

  /** Called in order; hands everything to the bus before it returns. */
  async #produce(
    pushes: readonly PushMessage[],
    owners: ReadonlyMap<ConnectionKey, UserId>,
    origin: PushOrigin,
  ): Promise<(HalleyError | undefined)[]> {
    const { bus, streams, clock } = this.deps;
    // Job pauses then: what is not taken in is not accepted.
    if (streams.full())
      return pushes.map(() => new HalleyError('store_full', undefined, { retryAfterMs: FULL_RETRY_MS }));
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
    const { records, refused } = packWithin(pushes, context, this.deps.maxRecordBytes);
    const written = records.map((one) => this.#write(one, origin));
    const outcomes = pushes.map((_, index): (HalleyError | undefined)[] =>
      refused.has(index) ? [refused.get(index)] : [],
    );
    for (const [at, error] of (await Promise.all(written)).entries()) {
      for (const index of records[at]?.pushes ?? []) outcomes[index]?.push(error);
    }
    return outcomes.map(joinErrors);
  }

  async #write({ record }: PackedRecord, origin: PushOrigin): Promise<HalleyError | undefined> {
    const { deadlineMs } = origin;
    try {
      await this.deps.bus.produce(Topic.Push, [record], deadlineMs === undefined ? {} : { deadlineMs });
      return undefined;
    } catch (error) {
      // The brokers may allow less than the configuration says.
      if (RecordsTooLarge.in(error)?.records === 1) return tooLarge(recordSize(record), 'the bus takes');
      return HalleyError.from(error);
    }
  }

  /** Whose keys they are; undefined keys and, while the store is away, all keys go by themselves. */
  #ownersOf(
    pushes: readonly PushMessage[],
  ): ReadonlyMap<ConnectionKey, UserId> | Promise<ReadonlyMap<ConnectionKey, UserId>> {
    const keys = pushes.flatMap(({ target }) => (target.kind === 'keys' ? target.keys : []));
    if (keys.length === 0) return NO_OWNERS;
    return this.deps.routes.owners([...new Set(keys)]).catch((error: unknown) => {
      this.deps.metrics.ownerLookupFailures.inc();
      this.deps.log.debug({ err: error }, 'owners of keys are unknown: their pushes go by key');
      return NO_OWNERS;
    });
  }
}
