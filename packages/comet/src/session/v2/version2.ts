import { Close, Move, type Presence, PresenceChanges } from '@halley/protocol/client/bodies';
import { type CloseCode, shouldReconnect } from '@halley/protocol/close-code';
import { type FrameV2, frameV2 } from '@halley/protocol/frame-v2';
import type { RoomId } from '@halley/protocol/ids';
import { OperationV2 } from '@halley/protocol/operation';

import { Format, formatOf } from '../../delivery/format.js';
import type { Room } from '../../delivery/room.js';
import type { Watcher } from '../../presence-watch.js';
import type { Session } from '../session.js';
import { JoinedRooms } from './joined-rooms.js';
import { RateLimit } from './rate-limit.js';
import { reply } from './reply.js';

/** What a client asked for that lasts as long as its connection. */
export interface Wishes {
  /** It inflates compressed bodies. */
  readonly deflate: boolean;
  /** It wants checksums on what it is sent. */
  readonly checksum: boolean;
}

/** What a connection has beyond version 1, from its auth on. */
export class Version2 implements Watcher {
  readonly rooms: JoinedRooms;
  /** The room of its token, of which the heartbeat tells the members. */
  home: RoomId | undefined = undefined;
  /** How frames leave to it. */
  readonly format: number;
  #ephemerals: RateLimit | undefined = undefined;

  constructor(
    private readonly session: Session,
    { deflate, checksum }: Wishes,
  ) {
    this.rooms = new JoinedRooms(session);
    const wished = (deflate ? Format.Deflated : 0) | (checksum ? Format.Checksum : 0);
    this.format = formatOf(session.variant) | Format.Version2 | wished;
  }

  get gone(): boolean {
    return this.session.state.name !== 'online';
  }

  /** What of the wishes is done. */
  get wishes(): Wishes {
    return {
      deflate: (this.format & Format.Deflated) !== 0,
      checksum: (this.format & Format.Checksum) !== 0,
    };
  }

  /** How many ephemeral messages it may send; made when the first comes. */
  get ephemerals(): RateLimit {
    const { clock, limits } = this.session.deps;
    this.#ephemerals ??= new RateLimit(limits.ephemeralsPerSecond, clock);
    return this.#ephemerals;
  }

  /** The room of its token, while it is in it. */
  get homeRoom(): Room | undefined {
    return this.home === undefined ? undefined : this.rooms.get(this.home);
  }

  /** The last frame. */
  lastWords(code: CloseCode, text: string): FrameV2 {
    return frameV2(OperationV2.Close, 0, Close.encode({ code, text, reconnect: shouldReconnect(code) }));
  }

  /** Asks the client to connect to one of these nodes. */
  move(nodes: readonly string[], delayMs: number, closesInMs: number): void {
    reply(this.session, OperationV2.Move, 0, Move, { nodes, delayMs, closesInMs });
  }

  /** Tells how users that are watched are now. */
  presenceChanged(users: readonly Presence[]): void {
    reply(this.session, OperationV2.PresenceChanges, 0, PresenceChanges, { users });
  }

  /** Its connection is gone, or closes. */
  leave(): void {
    this.rooms.leaveAll();
    this.session.deps.presence.forget(this);
  }
}
