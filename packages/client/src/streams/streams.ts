import { Deliver, Entry, type AuthReply } from '@halley/protocol/client/bodies';

import { ClientError } from '../client-error.js';
import type { Clock } from '../clock.js';
import type { Link } from '../connection/link.js';
import { Acks } from './acks.js';
import type { StreamCursor } from './continue.js';
import { Follower, type FollowerDeps } from './follower.js';
import { roomOf } from './message.js';

export interface StreamsDeps extends FollowerDeps {
  readonly clock: Clock;
  readonly ackAfterMs: number;
}

/** What is known of one link: which rooms' frames count, and what is to be acknowledged over it. */
interface Followed {
  readonly rooms: Set<string>;
  readonly acks: Acks;
}

/** All streams of a client, over all of its links: a move has two for a while. */
export class Streams {
  readonly #deps: StreamsDeps;
  readonly #followers = new Map<string, Follower>();
  readonly #links = new Map<Link, Followed>();

  constructor(deps: StreamsDeps) {
    this.#deps = deps;
  }

  /** The cursor for the next hello, and whose inbox it is of. */
  get inbox(): (StreamCursor & { readonly stream: string }) | undefined {
    const stream = this.#deps.cursors.inbox();
    const cursor = stream === undefined ? undefined : this.#deps.cursors.get(stream);
    return stream === undefined || !cursor ? undefined : { stream, ...cursor };
  }

  /**
   * A link is there. False when it goes on from the cursor of another user's inbox: that one is forgotten, and the link is
   * of no use.
   */
  opened(link: Link, { inbox }: AuthReply): boolean {
    const stale = this.inbox;
    if (inbox && stale && stale.stream !== inbox.stream) {
      void this.#deps.cursors.forget(stale.stream);
      const error = new ClientError('other_user', `The cursor is of ${stale.stream}.`, {
        temporary: true,
      });
      link.end({ error, reconnect: true });
      return false;
    }
    const acks = new Acks(link, this.#deps.clock, this.#deps.ackAfterMs);
    this.#links.set(link, { rooms: new Set(), acks });
    if (inbox) this.begin(inbox.stream, inbox);
    return true;
  }

  closed(link: Link): void {
    this.#links.get(link)?.acks.stop();
    this.#links.delete(link);
  }

  /** The stream goes on there, unless it has a cursor already. */
  begin(stream: string, { epoch, position }: StreamCursor): void {
    if (epoch !== '' && !this.#deps.cursors.get(stream))
      void this.#deps.cursors.save(stream, { epoch, position });
  }

  /** Frames of a room count from now on, on this link. */
  follow(link: Link, stream: string): void {
    this.#links.get(link)?.rooms.add(stream);
  }

  /** Frames of a room count no longer, on any link; its cursor stays. */
  unfollow(stream: string): void {
    for (const { rooms } of this.#links.values()) rooms.delete(stream);
    this.#followers.get(stream)?.stop(true);
    this.#followers.delete(stream);
  }

  deliver(link: Link, body: Uint8Array): void {
    const frame = Deliver.decode(body);
    const followed = this.#links.get(link);
    if (!followed || (roomOf(frame.stream) !== undefined && !followed.rooms.has(frame.stream))) return;
    this.#follower(frame.stream).push({ link, acks: followed.acks, frame });
  }

  /** A push of version 1: a message of no stream, which is not kept. */
  pushed(link: Link, operation: number, body: Uint8Array): void {
    const entry = { ...Entry.decode(new Uint8Array(0)), operation, body };
    const frame = { ...Deliver.decode(new Uint8Array(0)), entries: [entry] };
    this.#follower('').push({ link, acks: new Acks(link, this.#deps.clock, 0), frame });
  }

  /** What is handled is acknowledged; nothing more is shown. */
  stop(): void {
    for (const { acks } of this.#links.values()) acks.flush();
    for (const follower of this.#followers.values()) follower.stop(false);
  }

  #follower(stream: string): Follower {
    const follower = this.#followers.get(stream) ?? new Follower(stream, this.#deps);
    this.#followers.set(stream, follower);
    return follower;
  }
}
