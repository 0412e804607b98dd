import { eventCodec } from '@halley/cluster/grpc/event-codec';
import type { Clock } from '@halley/service/clock';
import type { EventsConfig } from '@halley/store/events/config';
import { eventIdOf, type Events, type QueuedEvent } from '@halley/store/events/event';
import type { RouteAnswer } from '@halley/store/routes/routes';
import type { Streams } from '@halley/store/streams/streams';

import type { PlacedPush, StreamTarget } from '../consume/chunk.js';

export interface OfflineEventsDeps {
  readonly events: Events;
  readonly config: Pick<EventsConfig, 'maxBodyBytes'>;
  readonly streams: Pick<Streams, 'cursors'>;
  /** The bus's. */
  readonly epoch: string;
  readonly clock: Clock;
}

/** Tells the business of durable pushes to users who are not there, so that it may reach them in another way. */
export class OfflineEvents {
  constructor(private readonly deps: OfflineEventsDeps) {}

  /** What is looked up, so that events keep their order. */
  #lookups: Promise<void> = Promise.resolve();
  #looking = 0;

  /**
   * Offers an event for each user of an entry of whom none of the devices that it is for is connected; whoever wrote it
   * is not told of its own. An entry that another job had taken in (`known`) may have been shown since: it is told only when
   * none of these devices has acknowledged it. `hold` is called for each, and answers what is to be called once the event is durable.
   */
  tell(placed: PlacedPush, known: boolean, routes: RouteAnswer, hold: () => () => void): void {
    const { events, clock } = this.deps;
    if (!events.wants('offline')) return;
    const { push } = placed;
    const expireAtMs = Number(push.expire_at_ms);
    if (expireAtMs !== 0 && expireAtMs <= clock.now()) return;
    for (const target of placed.targets) {
      if (target.to.kind !== 'user' || target.to.mid === push.sender?.mid) continue;
      if (isThere(target, routes)) continue;
      const { mid } = target.to;
      const atMs = clock.now();
      const event = {
        kind: 'offline' as const,
        key: mid,
        stream: target.stream,
        encode: () => this.#encode(placed, target, atMs),
        done: hold(),
      };
      if (!known && this.#looking === 0) events.offer(event);
      else this.#lookFirst(event, known ? () => this.#isSeen(placed, target) : undefined);
    }
  }

  #lookFirst(event: QueuedEvent & { readonly done: () => void }, isSeen?: () => Promise<boolean>): void {
    this.#looking += 1;
    this.#lookups = this.#lookups.then(async () => {
      if (await isSeen?.()) event.done();
      else this.deps.events.offer(event);
      this.#looking -= 1;
    });
  }

  /** Whether a device has it, as far as is known: while nobody knows, it is told once more. */
  async #isSeen({ position }: PlacedPush, { stream, keys }: StreamTarget): Promise<boolean> {
    try {
      const cursors = await this.deps.streams.cursors(stream);
      return [...cursors].some(
        ([key, cursor]) =>
          cursor.epoch === this.deps.epoch &&
          cursor.position >= position &&
          (keys.length === 0 || keys.includes(key)),
      );
    } catch {
      return false;
    }
  }

  #encode({ push, position, acceptedAtMs }: PlacedPush, { to, stream, keys }: StreamTarget, atMs: number) {
    const { epoch, config } = this.deps;
    const { body } = push;
    return eventCodec.encode({
      // Where an entry stands names it, however often its record is read again.
      id: eventIdOf('offline', stream, epoch, position),
      at_ms: atMs,
      ...(to.kind === 'user' && { mid: to.mid }),
      offline: {
        message_id: push.id,
        operation: push.operation,
        ...(body.byteLength <= config.maxBodyBytes && { body }),
        body_bytes: body.byteLength,
        keys: [...keys],
        accepted_at_ms: acceptedAtMs,
        expire_at_ms: push.expire_at_ms,
        collapse_key: push.collapse_key,
        traceparent: push.traceparent,
        stream,
        epoch,
        position,
        from_mid: push.sender?.mid ?? '0',
      },
    });
  }
}

function isThere({ to, keys }: StreamTarget, routes: RouteAnswer): boolean {
  const devices = to.kind === 'user' ? (routes.users.get(to.mid) ?? []) : [];
  return keys.length === 0 ? devices.length > 0 : devices.some(({ key }) => keys.includes(key));
}
