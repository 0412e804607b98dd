import type { NodeRef } from '@halley/protocol/ids';
import { Backoff } from '@halley/service/backoff';
import type { Clock } from '@halley/service/clock';
import type { Logger } from '@halley/service/log';
import { Repeats } from '@halley/service/repeats';
import type { ReadBatch, ReadRecord } from '@halley/store/bus/bus';
import type { RouteAnswer, Routes } from '@halley/store/routes/routes';

import type { CometLink } from '../deliver/comet-link.js';
import type { CometLinks } from '../deliver/comet-links.js';
import type { DeliveryClass, DeliveryResult } from '../deliver/delivery-queue.js';
import { NO_ROUTES, queryFor, routePush, type CometTargets, type RoutedPush } from '../deliver/router.js';
import type { JobMetrics } from '../metrics.js';
import type { Wakeup } from '../wakeup.js';
import type { DeadLetters } from './dead-letter.js';
import { INGRESS_HEADER } from './goim-ingress.js';
import { Offsets, type TrackedRecord, type WindowLimits } from './offsets.js';
import { BadRecord, decodePushes, positionOf, type Push } from './push-record.js';

export interface LaneLimits extends WindowLimits {
  /** A full window that holds records of a lagging comet is waited for this long. */
  readonly maxStallMs: number;
}

export interface LaneDeps {
  readonly routes: Pick<Routes, 'find'>;
  readonly links: CometLinks;
  readonly deadLetters: Pick<DeadLetters, 'write'>;
  readonly limits: LaneLimits;
  readonly clock: Clock;
  readonly metrics: JobMetrics;
  readonly log: Logger;
  /** Woken by links, and by this lane when records were done. */
  readonly changed: Wakeup;
}

/** A record, and its pushes or why it has none. */
interface Item {
  readonly read: ReadRecord;
  readonly record: TrackedRecord;
  readonly pushes: readonly Push[];
  readonly why: BadRecord | undefined;
}

/** The lane's partition went to another job, or this one stops. */
export class LaneEnded extends Error {
  constructor(lane: string) {
    super(`${lane} is not read here any more`);
  }
}

/** Where a push stands on the bus, and the record of goim's topic that it was taken from, if any. */
interface Place {
  readonly position: number;
  readonly source: string;
}

/** Pushes that are routed by one query. */
const MAX_CHUNK_PUSHES = 2_048;
/** What a delivery costs in memory beside its body and names, in bytes. */
const DELIVERY_OVERHEAD_BYTES = 256;

/**
 * Takes one partition's records to the comets, in order. Routes are read when the records are here, and again never:
 * what is queued to a comet stays there. Trouble with the route store or with halley-dead holds the lane; nothing is
 * stepped over, and nothing is committed that is not done.
 */
export class Lane {
  readonly offsets: Offsets;
  readonly name: string;
  readonly #end = new AbortController();
  readonly #repeats = new Repeats();
  readonly #log: Logger;
  #withoutRoutes = false;
  /** Records taken in and not yet on their way. */
  readonly #todo: { readonly read: ReadRecord; readonly record: TrackedRecord }[] = [];
  /** The batch in hand. */
  #taking: Promise<void> = Promise.resolve();

  constructor(
    readonly topic: string,
    readonly partition: number,
    private readonly deps: LaneDeps,
  ) {
    this.name = `${topic}/${partition}`;
    this.offsets = new Offsets(deps.limits, () => deps.changed.wake());
    this.#log = deps.log.child({ topic, partition });
  }

  /** Whether the lane waits for the route store. */
  get withoutRoutes(): boolean {
    return this.#withoutRoutes;
  }

  /** Resolves when the records are on their way. Trouble is waited for; rejects only when the lane ended meanwhile. */
  take(batch: ReadBatch): Promise<void> {
    return (this.#taking = this.#take(batch));
  }

  /** Takes nothing more, and lets go of what it waits for. What was offered to comets is delivered all the same. */
  end(): void {
    this.#end.abort();
    this.deps.changed.wake();
  }

  /** Resolves when nothing is in hand and every record is done. */
  async drained(): Promise<void> {
    await this.#taking.catch(() => undefined);
    while (this.offsets.undone > 0) await this.deps.changed.wait();
  }

  /** A lane that ended rejects the batch in hand, so that the bus never takes it for consumed. */
  #requireOwned(): void {
    if (this.#end.signal.aborted) throw new LaneEnded(this.name);
  }

  async #take(batch: ReadBatch): Promise<void> {
    await this.#windowOpen();
    // A batch that comes again was taken in part: what is tracked is on its way, or still to do.
    const fresh = batch.records.filter(({ offset }) => offset > this.offsets.last);
    for (const read of fresh) {
      const record = this.offsets.open(read.offset, read.value.byteLength, read.timestampMs);
      this.#todo.push({ read, record });
    }
    this.deps.metrics.records.inc({ topic: this.topic }, fresh.length);

    while (this.#todo.length > 0) {
      const bad = await this.#dispatch(this.#nextChunk());
      if (!bad?.why) continue;
      await this.deps.deadLetters.write(this, bad.read, bad.why, this.#end.signal);
      this.#requireOwned();
      this.offsets.release(bad.record);
    }
  }

  /** Records to route together; one that cannot be decoded comes last, alone of its kind. */
  #nextChunk(): Item[] {
    const chunk: Item[] = [];
    let count = 0;
    for (const { read, record } of this.#todo) {
      try {
        const pushes = decodePushes(read.value);
        chunk.push({ read, record, pushes, why: undefined });
        count += pushes.length;
        if (count >= MAX_CHUNK_PUSHES) break;
      } catch (error) {
        if (!(error instanceof BadRecord)) throw error;
        chunk.push({ read, record, pushes: [], why: error });
        break;
      }
    }
    return chunk;
  }

  /**
   * Routes pushes and offers them to their comets, in one turn of the loop, until all are on their way or a comet is
   * congested. Answers the record that is to be put aside, when it was reached.
   */
  async #dispatch(chunk: readonly Item[]): Promise<Item | undefined> {
    const { links, changed } = this.deps;
    while (links.congested && !this.#end.signal.aborted) await changed.wait();
    const answer = await this.#findRoutes(chunk);
    let routed = routeAll(chunk, answer, links);
    if (links.mayAppear(routed.missing)) {
      do await changed.wait();
      while (!this.#end.signal.aborted && links.mayAppear(routed.missing));
      this.#requireOwned();
      routed = routeAll(chunk, answer, links);
    }
    let done = 0;
    let next = 0;
    try {
      for (const item of chunk) {
        // The rest is routed again once there is room, however long that takes.
        if (links.congested && done > 0) return undefined;
        this.#offerAll(item, routed.pushes.slice(next, next + item.pushes.length));
        next += item.pushes.length;
        done += 1;
        if (item.why) return item;
        this.offsets.release(item.record);
      }
    } finally {
      this.#todo.splice(0, done);
    }
    return undefined;
  }

  #offerAll({ read, record, pushes }: Item, routed: readonly RoutedPush<CometLink>[]): void {
    const source = read.headers[INGRESS_HEADER] ?? '';
    if (source !== '' && this.#repeats.seen(source)) return this.deps.metrics.repeats.inc();
    for (const [index, push] of pushes.entries()) {
      const route = routed[index];
      if (route) this.#offer(push, record, { position: positionOf(record.offset, index), source }, route);
    }
  }

  #offer(push: Push, record: TrackedRecord, place: Place, route: RoutedPush<CometLink>): void {
    const { metrics, clock } = this.deps;
    const deliveryClass = classOf(push);
    const expireAtMs = Number(push.expire_at_ms);
    if (expireAtMs !== 0 && expireAtMs <= clock.now()) return metrics.delivered(deliveryClass, 'expired');
    if (route.missing.length > 0) metrics.delivered(deliveryClass, 'no_comet');
    else if (route.to.length === 0) metrics.delivered(deliveryClass, 'no_target');
    const settle = (result: DeliveryResult): void => {
      metrics.delivered(deliveryClass, result);
      this.offsets.release(record);
    };
    // A speed is the cluster's: the comets share it.
    const speed = push.speed > 0 ? Math.max(1, Math.floor(push.speed / route.to.length)) : 0;
    for (const targets of route.to) {
      this.offsets.hold(record);
      targets.comet.offer({
        lane: this.name,
        topic: this.topic,
        partition: this.partition,
        position: place.position,
        message: deliveryOf(push, place, targets, speed),
        bytes: weightOf(push, targets),
        expireAtMs,
        settle,
      });
    }
  }

  async #findRoutes(chunk: readonly Item[]): Promise<RouteAnswer> {
    const query = queryFor(chunk.flatMap(({ pushes }) => pushes));
    const backoff = new Backoff({ baseMs: 100, maxMs: 1_000 });
    for (;;) {
      this.#requireOwned();
      if (!query) return NO_ROUTES;
      try {
        const answer = await this.deps.routes.find(query);
        if (this.#withoutRoutes) this.#log.info('routes can be read again');
        this.#withoutRoutes = false;
        this.#requireOwned();
        return answer;
      } catch (error) {
        this.#requireOwned();
        this.deps.metrics.routeFailures.inc();
        if (!this.#withoutRoutes) this.#log.warn({ err: error }, 'routes cannot be read, waiting');
        this.#withoutRoutes = true;
        await backoff.wait(this.#end.signal);
      }
    }
  }

  /**
   * Waits until the span of undone records has room. When it does not within `maxStallMs`, comets that lag lose what
   * they hold of this lane, so that they stop only themselves.
   */
  async #windowOpen(): Promise<void> {
    const { clock, links, changed, limits } = this.deps;
    let since = clock.monotonicMs();
    for (this.#requireOwned(); this.offsets.full; this.#requireOwned()) {
      if (clock.monotonicMs() - since >= limits.maxStallMs) {
        const lost = links.relieve(this.name);
        if (lost > 0) this.#log.warn({ lost }, 'comets that lag lose what they hold of this partition');
        since = clock.monotonicMs();
      }
      if (this.offsets.full) await changed.wait();
    }
  }
}

function routeAll(
  chunk: readonly Item[],
  answer: RouteAnswer,
  links: CometLinks,
): { readonly pushes: readonly RoutedPush<CometLink>[]; readonly missing: readonly NodeRef[] } {
  const pushes = chunk.flatMap((item) => item.pushes.map((push) => routePush(push, answer, links)));
  return { pushes, missing: pushes.flatMap((routed): readonly NodeRef[] => routed.missing) };
}

function classOf(push: Push): DeliveryClass {
  if (push.class === 'CLASS_EPHEMERAL') return 'ephemeral';
  if (push.class === 'CLASS_DURABLE') return 'durable';
  return push.users.length + push.keys.length > 0 ? 'durable' : 'ephemeral';
}

function deliveryOf(
  push: Push,
  { position, source }: Place,
  { keys, rooms, everyone }: CometTargets<CometLink>,
  speed: number,
) {
  return {
    position,
    id: push.id,
    operation: push.operation,
    body: push.body,
    class: push.class,
    expire_at_ms: push.expire_at_ms,
    keys,
    rooms,
    everyone,
    speed,
    traceparent: push.traceparent,
    source,
  };
}

function weightOf(push: Push, { keys, rooms }: CometTargets<CometLink>): number {
  let bytes = DELIVERY_OVERHEAD_BYTES + push.body.byteLength;
  for (const key of keys) bytes += key.length + 16;
  for (const room of rooms) bytes += room.length + 16;
  return bytes;
}
