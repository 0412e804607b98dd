import { type ClientDuplexStream, status as Status, type StatusObject } from '@grpc/grpc-js';
import type { DeliverReply__Output } from '@halley/cluster/grpc/gen/halley/delivery/v1/DeliverReply';
import type { DeliverRequest } from '@halley/cluster/grpc/gen/halley/delivery/v1/DeliverRequest';
import type { DeliveryServiceClient } from '@halley/cluster/grpc/gen/halley/delivery/v1/DeliveryService';
import type { Hello } from '@halley/cluster/grpc/gen/halley/delivery/v1/Hello';
import type { NodeRecord } from '@halley/cluster/registry/registry';
import { Backoff } from '@halley/service/backoff';
import type { Clock } from '@halley/service/clock';
import type { Logger } from '@halley/service/log';

import { DeliveryQueue, type QueuedDelivery } from './delivery-queue.js';
import { joinByPartition } from './room-joiner.js';

/** Bounds of a link; the defaults are in config.ts. */
export interface LinkLimits {
  readonly maxQueuedBytes: number;
  /** Without an acknowledgement for this long while something is outstanding, the comet is silent. */
  readonly silentAfterMs: number;
  /** How long lanes wait for a queue that is half full before they go on without it. */
  readonly maxStallMs: number;
  readonly maxBatchDeliveries: number;
  readonly maxBatchBytes: number;
  /** A stream without a welcome for this long is tried again. */
  readonly welcomeTimeoutMs: number;
  readonly maxReconnectMs: number;
  /** How long a comet that vanished from the registry is kept while its stream is broken. */
  readonly vanishedHoldMs: number;
}

export interface CometLinkDeps {
  readonly comet: NodeRecord;
  readonly hello: Omit<Hello, 'comet_incarnation'>;
  readonly limits: LinkLimits;
  /** A client with a connection of its own, closed by the link. */
  connect(address: string): DeliveryServiceClient;
  readonly clock: Clock;
  readonly log: Logger;
  /** The comet left: the link is of no more use. */
  onGone(): void;
  /** Lanes that wait may look again. */
  onChange(): void;
  /** A stream ended. */
  onBreak(status: string): void;
}

type Stream = ClientDuplexStream<DeliverRequest, DeliverReply__Output>;

type LinkState =
  | { readonly kind: 'waiting'; readonly untilMs: number }
  | {
      readonly kind: 'connecting';
      readonly client: DeliveryServiceClient;
      readonly stream: Stream;
      readonly sinceMs: number;
    }
  | { readonly kind: 'live'; readonly client: DeliveryServiceClient; readonly stream: Stream }
  | { readonly kind: 'gone' };

/**
 * The stream to one incarnation of one comet, and what is on its way there. Deliveries leave in the order they were
 * offered; after a broken stream the unacknowledged are sent again, and comet drops what it had. Trouble with this
 * comet stays here: a full queue refuses the newest (and keeps which streams have news), a silent comet is refused
 * everything until it answers, and then learns of news when it renews its routes.
 */
export class CometLink {
  readonly comet: NodeRecord;
  readonly #queue: DeliveryQueue;
  readonly #backoff: Backoff;
  #state: LinkState = { kind: 'waiting', untilMs: 0 };
  /** Set while write() waits for 'drain'. */
  #blocked = false;
  #flushScheduled = false;
  #silent = false;
  #progressAtMs = 0;
  /** Since when more than half of the queue is taken. */
  #congestedSinceMs: number | undefined;
  #lagging = false;
  #vanishedAtMs: number | undefined;

  constructor(private readonly deps: CometLinkDeps) {
    this.comet = deps.comet;
    this.#queue = new DeliveryQueue(deps.limits.maxQueuedBytes);
    this.#backoff = new Backoff({ baseMs: 50, maxMs: deps.limits.maxReconnectMs });
    this.#connect();
  }

  /** For metrics and decisions: a live link is one whose stream works. */
  get state(): 'live' | 'connecting' | 'silent' | 'gone' {
    if (this.#state.kind === 'gone') return 'gone';
    if (this.#silent) return 'silent';
    return this.#state.kind === 'live' ? 'live' : 'connecting';
  }

  get queuedBytes(): number {
    return this.#queue.bytes;
  }

  /** Whether the registry has it. */
  get registered(): boolean {
    return this.#vanishedAtMs === undefined && this.#state.kind !== 'gone';
  }

  /** Whether lanes should wait before they offer more: more than half full, and draining. */
  get congested(): boolean {
    return this.#congestedSinceMs !== undefined && !this.#lagging && !this.#silent;
  }

  /** Whether it holds back a lane longer than lanes wait. */
  get lagging(): boolean {
    return this.#lagging;
  }

  /** Sends a delivery in its turn, or settles it at once when that cannot be. */
  offer(delivery: QueuedDelivery): void {
    if (this.#state.kind === 'gone') return delivery.settle('comet_left');
    if (this.#silent) return delivery.settle('comet_silent');
    if (this.#queue.size === 0) this.#progressAtMs = this.deps.clock.monotonicMs();
    this.#queue.offer(delivery);
    if (this.#congestedSinceMs === undefined && this.#queue.bytes * 2 > this.deps.limits.maxQueuedBytes)
      this.#congestedSinceMs = this.deps.clock.monotonicMs();
    this.#scheduleFlush();
  }

  /** Settles what is outstanding of a lane as if there had been no room, so that the lane can go on. */
  relieve(lane: string): number {
    const count = this.#queue.giveUpLane(lane);
    this.#drained();
    return count;
  }

  /** The registry has it (again). */
  appeared(): void {
    this.#vanishedAtMs = undefined;
    if (this.#state.kind === 'waiting') this.#connect();
  }

  /** The registry lost it: it stays in use while its stream works. */
  vanished(): void {
    this.#vanishedAtMs ??= this.deps.clock.monotonicMs();
  }

  /** The comet is gone for good, or this job stops: settles what is outstanding. */
  leave(why: string): void {
    if (this.#state.kind === 'gone') return;
    this.#disconnect();
    this.#state = { kind: 'gone' };
    const lost = this.#queue.giveUp('comet_left');
    this.deps.log.info({ comet: this.comet.id, why, lost }, 'comet left');
    this.deps.onGone();
    this.deps.onChange();
  }

  /** Called every 100 ms or so; `pausedMs` is how much longer this process itself did not run. */
  tick(pausedMs: number): void {
    const { limits, clock } = this.deps;
    const now = clock.monotonicMs();
    this.#progressAtMs += pausedMs;
    const state = this.#state;
    if (state.kind === 'waiting') {
      if (this.#vanishedAtMs !== undefined && now - this.#vanishedAtMs >= limits.vanishedHoldMs)
        return this.leave('not registered, and its stream is broken');
      if (now >= state.untilMs) this.#connect();
    } else if (state.kind === 'connecting' && now - state.sinceMs - pausedMs >= limits.welcomeTimeoutMs) {
      this.#broken(Status.DEADLINE_EXCEEDED, 'no welcome');
    }
    if (!this.#silent && this.#queue.size > 0 && now - this.#progressAtMs >= limits.silentAfterMs)
      this.#fallSilent();
    if (this.#congestedSinceMs !== undefined && !this.#lagging) {
      if (now - this.#congestedSinceMs >= limits.maxStallMs) {
        this.#lagging = true;
        this.deps.log.warn(
          { comet: this.comet.id, queuedBytes: this.#queue.bytes },
          'comet takes less than is pushed: the others go on without waiting for it',
        );
        this.deps.onChange();
      }
    }
  }

  #connect(): void {
    const { comet, hello, clock } = this.deps;
    const client = this.deps.connect(comet.addresses.grpc ?? '');
    const stream = client.deliver();
    this.#state = { kind: 'connecting', client, stream, sinceMs: clock.monotonicMs() };
    // What an earlier stream says late is of no meaning.
    const current = (): boolean => 'stream' in this.#state && this.#state.stream === stream;
    stream.on('data', (reply: DeliverReply__Output) => {
      if (current()) this.#received(reply);
    });
    stream.on('drain', () => {
      if (!current()) return;
      this.#blocked = false;
      this.#flush();
    });
    // The status says the same, and comes without an error too.
    stream.on('error', () => undefined);
    stream.on('status', ({ code, details }: StatusObject) => {
      if (current()) this.#broken(code, details);
    });
    stream.write({ hello: { ...hello, comet_incarnation: comet.incarnation } });
  }

  #received({ welcome, acks }: DeliverReply__Output): void {
    if (this.#silent) {
      this.#silent = false;
      this.deps.log.info({ comet: this.comet.id }, 'comet answers again');
    }
    if (welcome && this.#state.kind === 'connecting') {
      const { client, stream } = this.#state;
      if (welcome.comet_incarnation !== this.comet.incarnation) return this.leave('another incarnation');
      this.#state = { kind: 'live', client, stream };
      this.#backoff.reset();
      this.#queue.rewind();
      this.#blocked = false;
      this.#scheduleFlush();
      this.deps.onChange();
    }
    if (!acks) return;
    let settled = 0;
    for (const { topic, partition, position } of acks.acks)
      settled += this.#queue.ack(`${topic}/${partition}`, Number(position));
    if (settled > 0) this.#progressAtMs = this.deps.clock.monotonicMs();
    this.#drained();
  }

  #scheduleFlush(): void {
    if (this.#flushScheduled || this.#blocked || this.#state.kind !== 'live') return;
    this.#flushScheduled = true;
    setImmediate(() => {
      this.#flushScheduled = false;
      this.#flush();
    });
  }

  /** Everything queued goes out while the stream takes it; what comes while it doesn't is joined into the next batch. */
  #flush(): void {
    const { limits, clock } = this.deps;
    while (this.#state.kind === 'live' && !this.#blocked && this.#queue.hasUnsent) {
      const taken = this.#queue.take(limits.maxBatchDeliveries, limits.maxBatchBytes, clock.now());
      if (taken.length === 0) continue;
      this.#blocked = !this.#state.stream.write({ batches: { batches: joinByPartition(taken) } });
    }
  }

  #drained(): void {
    if (this.#congestedSinceMs === undefined) return;
    if (this.#queue.bytes * 4 > this.deps.limits.maxQueuedBytes) return;
    this.#congestedSinceMs = undefined;
    this.#lagging = false;
    this.deps.onChange();
  }

  #fallSilent(): void {
    const { limits, log } = this.deps;
    this.#silent = true;
    const lost = this.#queue.giveUp('comet_silent');
    log.warn(
      { comet: this.comet.id, lost, silentAfterMs: limits.silentAfterMs, stream: this.#state.kind },
      'comet is silent: what was outstanding is given up',
    );
    this.#drained();
    this.deps.onChange();
    // Over a new connection: the old one may be half dead.
    if (this.#state.kind === 'live') this.#broken(Status.DEADLINE_EXCEEDED, 'silent');
  }

  #broken(code: Status, details: string): void {
    const { clock, log } = this.deps;
    this.#disconnect();
    this.deps.onBreak(Status[code]);
    if (code === Status.FAILED_PRECONDITION) return this.leave('another incarnation');
    const refused = details.includes('ECONNREFUSED');
    if (this.#vanishedAtMs !== undefined && (code === Status.OK || refused))
      return this.leave('not registered, and its stream ended');
    log.debug({ comet: this.comet.id, status: Status[code], details }, 'stream to comet broke');
    this.#state = { kind: 'waiting', untilMs: clock.monotonicMs() + this.#backoff.nextMs() };
  }

  #disconnect(): void {
    const state = this.#state;
    if (!('stream' in state)) return;
    this.#state = { kind: 'waiting', untilMs: Infinity };
    this.#blocked = false;
    state.stream.cancel();
    state.client.close();
  }
}
