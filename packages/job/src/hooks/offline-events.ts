import { eventCodec } from '@halley/cluster/grpc/event-codec';
import type { Clock } from '@halley/service/clock';
import type { EventsConfig } from '@halley/store/events/config';
import { eventIdOf, type Events } from '@halley/store/events/event';
import type { RouteAnswer } from '@halley/store/routes/routes';

import type { PlacedPush, StreamTarget } from '../consume/chunk.js';

export interface OfflineEventsDeps {
  readonly events: Events;
  readonly config: Pick<EventsConfig, 'maxBodyBytes'>;
  /** The bus's. */
  readonly epoch: string;
  readonly clock: Clock;
}

/** Tells the business of durable pushes to users who are not there, so that it may reach them in another way. */
export class OfflineEvents {
  constructor(private readonly deps: OfflineEventsDeps) {}

  /**
   * Offers an event for each user of an entry of whom none of the devices that it is for is connected; whoever wrote it
   * is not told of its own. `hold` is called for each, and answers what is to be called once the event is durable.
   */
  tell(placed: PlacedPush, routes: RouteAnswer, hold: () => () => void): void {
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
      events.offer({
        kind: 'offline',
        key: mid,
        stream: target.stream,
        encode: () => this.#encode(placed, target, atMs),
        done: hold(),
      });
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
