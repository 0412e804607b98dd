import type { NodeRef } from '@halley/protocol/ids';
import { Backoff } from '@halley/service/backoff';
import type { Clock } from '@halley/service/clock';
import type { ExceptionKind, Exceptions } from '@halley/service/exceptions';
import type { Logger } from '@halley/service/log';
import { Repeats } from '@halley/service/repeats';
import type { RouteAnswer, RouteQuery, Routes } from '@halley/store/routes/routes';
import { streamOf } from '@halley/store/shard';

import type { CometLink } from '../deliver/comet-link.js';
import type { CometLinks } from '../deliver/comet-links.js';
import type { DeliveryClass, DeliveryResult } from '../deliver/delivery-queue.js';
import { isForStreamsOnly, messageOf, weightOf } from '../deliver/delivery-message.js';
import {
  merged,
  NO_ROUTES,
  queryFor,
  restFor,
  routePush,
  type RoutedPush,
  type RoutedTargets,
} from '../deliver/router.js';
import type { OfflineEvents } from '../hooks/offline-events.js';
import { BULK_HEADER } from '../bulk/bulk-mover.js';
import type { JobMetrics } from '../metrics.js';
import type { Wakeup } from '../wakeup.js';
import type { Fate, Fates } from './append-batch.js';
import type { Item, PlacedPush } from './chunk.js';
import { INGRESS_HEADER } from './goim-ingress.js';
import type { Offsets, TrackedRecord } from './offsets.js';
import type { Ownership } from './ownership.js';
import type { Push } from './push-record.js';

export interface DispatcherDeps {
  readonly routes: Pick<Routes, 'find'>;
  readonly links: CometLinks;
  /** Partitions of the topic. */
  readonly shards: number;
  /** A body that is larger is left out of hints. */
  readonly maxHintBodyBytes: number;
  readonly clock: Clock;
  readonly metrics: JobMetrics;
  readonly exceptions: Exceptions;
  /** Told who is not there; a record is done when that is durable. Default: nobody. */
  readonly offline?: Pick<OfflineEvents, 'tell'> | undefined;
  readonly log: Logger;
  /** Woken by links. */
  readonly changed: Wakeup;
}

/** A record that was taken in, on its way to the comets. */
export interface Pending extends Item {
  readonly record: TrackedRecord;
  readonly fates: Fates;
}

/** What was not delivered, and is not told in another way. */
const LOST: ReadonlySet<DeliveryResult> = new Set(['comet_left', 'comet_silent', 'queue_full']);

const NOWHERE: RoutedTargets = { live: { users: [], keys: [], rooms: [], everyone: false }, hints: [] };

/**
 * Takes one partition's pushes to the comets, in order. Routes are read when the pushes are in their streams, and again
 * never: who connects later reads the stream; what is queued to a comet stays there.
 */
export class Dispatcher {
  readonly #repeats = new Repeats();
  readonly #log: Logger;
  #withoutRoutes = false;

  constructor(
    private readonly own: Ownership,
    private readonly offsets: Offsets,
    private readonly deps: DispatcherDeps,
  ) {
    this.#log = deps.log.child({ topic: own.topic, partition: own.partition });
  }

  /** Whether it waits for the route store. */
  get withoutRoutes(): boolean {
    return this.#withoutRoutes;
  }

  /**
   * Routes what is pending and offers it to its comets, in one turn of the loop, until all is on its way or a comet is
   * congested; that leaves `pending`. Answers the record that is to be put aside, when it was reached. `read` are the routes
   * of its users and rooms in this shard, where those were read along with its append; after a wait they are read anew.
   */
  async dispatch(pending: Pending[], read?: RouteAnswer): Promise<Pending | undefined> {
    const { links, changed, shards } = this.deps;
    let known = read;
    for (; links.congested && !this.own.ended; known = undefined) await changed.wait();
    const targets = pending.map((item) => item.pushes.map((placed) => targetsOf(placed, item.fates)));
    const query = known
      ? restFor(targets.flat(), { partition: this.own.partition, shards })
      : queryFor(targets.flat());
    const answer = query ? merged(await this.#findRoutes(query), known) : (known ?? NO_ROUTES);
    this.own.require();
    let routed = routeAll(targets, answer, links);
    if (links.mayAppear(routed.missing)) {
      do await changed.wait();
      while (!this.own.ended && links.mayAppear(routed.missing));
      this.own.require();
      routed = routeAll(targets, answer, links);
    }
    let done = 0;
    try {
      for (const [at, item] of pending.entries()) {
        // The rest is routed again once there is room, however long that takes.
        if (links.congested && done > 0) return undefined;
        this.#offerAll(item, targets[at]!, routed.items[at]!, answer);
        done += 1;
        if (item.why) return item;
        this.offsets.release(item.record);
      }
    } finally {
      pending.splice(0, done);
    }
    return undefined;
  }

  #offerAll(
    item: Pending,
    targets: readonly RoutedTargets[],
    routed: readonly RoutedPush<CometLink>[],
    answer: RouteAnswer,
  ): void {
    const { headers } = item.read;
    const source = headers[INGRESS_HEADER] ?? headers[BULK_HEADER] ?? '';
    if (source !== '' && this.#repeats.seen(source)) return this.deps.metrics.repeats.inc();
    for (const [at, placed] of item.pushes.entries()) {
      this.#tellOffline(placed, item, answer);
      if (isEmpty(targets[at]!) && placed.targets.length > 0) continue;
      this.#offer(placed, item, source, routed[at]!);
    }
  }

  #offer(placed: PlacedPush, { record, fates }: Pending, source: string, route: RoutedPush<CometLink>): void {
    const { metrics, clock, maxHintBodyBytes } = this.deps;
    const { push, position } = placed;
    const { topic, partition, name } = this.own;
    const deliveryClass = classOf(push);
    const { expire_at_ms: expireAtMs } = push;
    if (expireAtMs !== 0 && expireAtMs <= clock.now()) {
      this.#tellLive(placed, 'expired', 'expired');
      return metrics.delivered(deliveryClass, 'expired');
    }
    if (route.missing.length > 0) metrics.delivered(deliveryClass, 'no_comet');
    else if (route.to.length === 0) metrics.delivered(deliveryClass, 'no_target');
    const settle = (result: DeliveryResult): void => {
      metrics.delivered(deliveryClass, result);
      if (result === 'expired') this.#tellLive(placed, 'expired', 'expired');
      else if (LOST.has(result)) this.#tellLive(placed, 'dropped', result);
      this.offsets.release(record);
    };
    // A speed is the cluster's: the comets share it.
    const speed = push.speed > 0 ? Math.max(1, Math.floor(push.speed / route.to.length)) : 0;
    const left = push.body.byteLength > maxHintBodyBytes || fates.get(position)?.kind === 'known';
    for (const targets of route.to) {
      this.offsets.hold(record);
      const forStreamsOnly = isForStreamsOnly(targets);
      const withoutBody = left && forStreamsOnly;
      targets.comet.offer({
        lane: name,
        topic,
        partition,
        position,
        message: messageOf(push, { position, source, speed, withoutBody }, targets),
        streams: targets.hints.map(({ stream }) => stream),
        forStreamsOnly,
        bytes: weightOf(withoutBody ? 0 : push.body.byteLength, targets),
        expireAtMs,
        settle,
      });
    }
  }

  #tellOffline(placed: PlacedPush, { record, fates }: Pending, answer: RouteAnswer): void {
    const fate = fates.get(placed.position);
    if (!fate || fate.kind === 'repeated') return;
    this.deps.offline?.tell(placed, fate.kind === 'known', answer, () => {
      this.offsets.hold(record);
      return () => this.offsets.release(record);
    });
  }

  /** What stands in streams is read from there; the rest is lost to those who were on the comet. */
  #tellLive({ push, live }: PlacedPush, kind: ExceptionKind, reason: string): void {
    const { id, caller } = push;
    const { users, keys, rooms, everyone } = live;
    const what = { id, caller, kind, reason };
    if (users.length > 0)
      this.deps.exceptions.tell(users.length === 1 ? { ...what, stream: streamOf.user(users[0]!) } : what);
    if (keys.length > 0) this.deps.exceptions.tell({ ...what, keys, count: keys.length });
    for (const room of rooms) this.deps.exceptions.tell({ ...what, stream: streamOf.room(room) });
    if (everyone) this.deps.exceptions.tell({ ...what, stream: streamOf.everyone });
  }

  async #findRoutes(query: RouteQuery): Promise<RouteAnswer> {
    const backoff = new Backoff({ baseMs: 100, maxMs: 1_000 });
    for (;;) {
      this.own.require();
      try {
        const answer = await this.deps.routes.find(query);
        if (this.#withoutRoutes) this.#log.info('routes can be read again');
        this.#withoutRoutes = false;
        this.own.require();
        return answer;
      } catch (error) {
        this.own.require();
        this.deps.metrics.routeFailures.inc();
        if (!this.#withoutRoutes) this.#log.warn({ err: error }, 'routes cannot be read, waiting');
        this.#withoutRoutes = true;
        await backoff.wait(this.own.signal);
      }
    }
  }
}

function classOf(push: Push): DeliveryClass {
  if (push.class === 'CLASS_EPHEMERAL') return 'ephemeral';
  if (push.class === 'CLASS_DURABLE') return 'durable';
  return push.users.length + push.keys.length > 0 ? 'durable' : 'ephemeral';
}

/** A push that had been taken in before under its id is not sent at all. */
function targetsOf({ position, live }: PlacedPush, fates: Fates): RoutedTargets {
  const fate: Fate | undefined = fates.get(position);
  if (!fate) return { live, hints: [] };
  return fate.kind === 'repeated' ? NOWHERE : { live, hints: fate.hints };
}

function isEmpty({ live, hints }: RoutedTargets): boolean {
  return hints.length + live.users.length + live.keys.length + live.rooms.length === 0 && !live.everyone;
}

function routeAll(
  targets: readonly (readonly RoutedTargets[])[],
  answer: RouteAnswer,
  links: CometLinks,
): { readonly items: readonly (readonly RoutedPush<CometLink>[])[]; readonly missing: readonly NodeRef[] } {
  const missing: NodeRef[] = [];
  const items = targets.map((pushes) =>
    pushes.map((push) => {
      const routed = routePush(push, answer, links);
      for (const ref of routed.missing) missing.push(ref);
      return routed;
    }),
  );
  return { items, missing };
}
