import { eventCodec } from '@halley/cluster/grpc/event-codec';
import type { Event } from '@halley/cluster/grpc/gen/halley/push/v1/Event';
import type { ReadPosition } from '@halley/protocol/client/bodies';
import { CloseCode } from '@halley/protocol/close-code';
import type { ConnectionKey, NodeId, UserId } from '@halley/protocol/ids';
import type { Clock } from '@halley/service/clock';
import type { EventKind, EventsConfig } from '@halley/store/events/config';
import { connectionIdOf, eventIdOf, type Events } from '@halley/store/events/event';
import type { Route } from '@halley/store/routes/routes';
import { streamOf } from '@halley/store/shard';
import type { Cursor } from '@halley/store/streams/streams';

import type { PushMessage } from '../push/target.js';

export interface ClientEventsDeps {
  readonly events: Events;
  readonly config: Pick<EventsConfig, 'maxBodyBytes'>;
  readonly clock: Clock;
}

/** Whose connection it is. */
interface Device {
  readonly mid: UserId;
  readonly key: ConnectionKey;
}

/** How a connection ended, as its comet has it. */
export interface ConnectionEnd {
  readonly code: number;
  readonly reason: string;
}

/** What of a connection only its comet knows. */
export interface ConnectionMeans {
  readonly comet: NodeId;
  readonly transport: string;
  readonly platform: string;
  readonly version: 1 | 2;
}

/** Users of connections without one. */
const ANONYMOUS = '0';

/** Tells the business what clients did, where it wants to know: at best effort, and nobody waits for it. */
export class ClientEvents {
  constructor(private readonly deps: ClientEventsDeps) {}

  connected(route: Device & { readonly owner: string }, means: ConnectionMeans): void {
    const { mid, key, owner } = route;
    if (!this.deps.events.wants('connected')) return;
    const connection = connectionIdOf(key, owner);
    this.#tell('connected', { mid, key }, [connection], { connected: { connection, ...means } });
  }

  /** A connection whose key another one took over. */
  takenOver(route: Route): void {
    this.disconnected(route, route.at.node, { code: CloseCode.TakenOver, reason: 'taken over' });
  }

  disconnected(route: Device & { readonly owner: string }, comet: NodeId, end: ConnectionEnd): void {
    const { mid, key, owner } = route;
    if (!this.deps.events.wants('disconnected')) return;
    const connection = connectionIdOf(key, owner);
    this.#tell('disconnected', { mid, key }, [connection], {
      disconnected: { connection, comet, ...end, connected_for_ms: this.#since(owner) },
    });
  }

  /** A message to a room or a user was accepted. `stream` and `epoch` are empty of what is not kept. */
  messageIn({ mid, key }: Device, { id, operation, body, sender, target }: PushMessage, at: Kept): void {
    if (!this.deps.events.wants('message_in')) return;
    this.#tell('message_in', { mid, key }, [id], {
      message_in: {
        message_id: id,
        client_id: sender?.clientId ?? '',
        room: target.kind === 'room' ? target.room : '',
        to_mid: sender?.toMid ?? ANONYMOUS,
        operation,
        ...bodyOf(body, this.deps.config.maxBodyBytes),
        ...at,
      },
    });
  }

  /** A device acknowledged more of its user's stream. */
  delivered({ mid, key }: Device, { stream, epoch, position }: Cursor & { readonly stream: string }): void {
    if (!this.deps.events.wants('delivered') || position < 0) return;
    const facts = [mid, key, stream, epoch, position];
    this.#tell('delivered', { mid, key }, facts, { delivered: { stream, epoch, position } });
  }

  /** A user has read more of streams. */
  read({ mid, key }: Device, moved: readonly ReadPosition[]): void {
    if (!this.deps.events.wants('read')) return;
    for (const { stream, epoch, position } of moved)
      this.#tell('read', { mid, key }, [mid, stream, epoch, position], { read: { stream, epoch, position } });
  }

  /** An owner sequence begins with the store's time in microseconds; 0 where it does not. */
  #since(owner: string): number {
    if (!/^\d{16}-/.test(owner)) return 0;
    return Math.max(0, this.deps.clock.now() - Math.floor(Number(owner.slice(0, 16)) / 1_000));
  }

  #tell(kind: EventKind, { mid, key }: Device, facts: readonly (string | number)[], what: Event): void {
    const event: Event = { id: eventIdOf(kind, ...facts), at_ms: this.deps.clock.now(), mid, key, ...what };
    const value = eventCodec.encode(event);
    const anonymous = mid === ANONYMOUS;
    this.deps.events.offer({
      kind,
      key: anonymous ? key : mid,
      stream: anonymous ? streamOf.key(key) : streamOf.user(mid),
      encode: () => value,
    });
  }
}

/** Where a message is kept. */
interface Kept {
  readonly stream: string;
  readonly epoch: string;
}

function bodyOf(body: Uint8Array, maxBytes: number) {
  return { ...(body.byteLength <= maxBytes && { body }), body_bytes: body.byteLength };
}
