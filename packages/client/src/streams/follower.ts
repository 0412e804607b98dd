import type { Deliver, Entry } from '@halley/protocol/client/bodies';

import { ClientError } from '../client-error.js';
import type { Link } from '../connection/link.js';
import type { Emitter } from '../events.js';
import type { Acks } from './acks.js';
import { beginFrom, continueFrom, type StreamCursor } from './continue.js';
import type { Cursors } from './cursors.js';
import { messageOf } from './message.js';
import { ShownIds } from './shown-ids.js';

/** A frame of the stream, and the link that it came over. */
export interface Delivered {
  readonly link: Link;
  readonly acks: Acks;
  readonly frame: Deliver;
}

export interface FollowerDeps {
  readonly events: Emitter;
  readonly cursors: Cursors;
  readonly maxShownIds: number;
  /** Entries that are not kept and may wait for handlers; more are dropped. */
  readonly maxWaiting: number;
}

/** The stream of everyone has no cursors at the server: it begins with each connection. */
const EVERYONE = 'all';

/** Shows one stream: its frames one after the other, whichever links they come over, each message once and in order. */
export class Follower {
  readonly #stream: string;
  readonly #deps: FollowerDeps;
  readonly #shown: ShownIds;
  readonly #frames: Delivered[] = [];
  /** Entries in `#frames` that no window bounds. */
  #waiting = 0;
  #running = false;
  /** Over which the last frame came. */
  #link: Link | undefined;
  #stopped = false;
  #forgotten = false;

  constructor(stream: string, deps: FollowerDeps) {
    this.#stream = stream;
    this.#deps = deps;
    this.#shown = new ShownIds(deps.maxShownIds);
  }

  push(delivered: Delivered): void {
    const { epoch, entries } = delivered.frame;
    if (epoch === '') {
      if (this.#waiting + entries.length > this.#deps.maxWaiting) return this.#tooSlow();
      this.#waiting += entries.length;
    }
    this.#frames.push(delivered);
    if (!this.#running) void this.#run();
  }

  /** Shows nothing more. What handlers have now is still saved, unless the stream is to be forgotten. */
  stop(forget: boolean): void {
    this.#stopped = true;
    this.#forgotten = forget;
  }

  async #run(): Promise<void> {
    this.#running = true;
    for (let next = this.#frames.shift(); next && !this.#stopped; next = this.#frames.shift()) {
      if (next.frame.epoch === '') await this.#showUnkept(next.frame);
      else await this.#follow(next);
    }
    this.#running = false;
  }

  async #showUnkept(frame: Deliver): Promise<void> {
    for (const entry of frame.entries) {
      if (this.#stopped) return;
      if (!this.#shown.add(entry.id)) await this.#deps.events.emit('message', messageOf(entry, frame));
    }
    this.#waiting -= frame.entries.length;
  }

  async #follow({ link, acks, frame }: Delivered): Promise<void> {
    const { events, cursors } = this.#deps;
    // A stream that nothing is known of begins with its first frame.
    const cursor = cursors.get(this.#stream) ?? {
      epoch: frame.epoch,
      position: frame.gap?.after ?? frame.after,
    };
    const begins = this.#stream === EVERYONE && link !== this.#link && !frame.gap;
    this.#link = link;
    const next = begins ? beginFrom(cursor, frame) : continueFrom(cursor, frame);
    if (next.name === 'hole') return this.#resync(link, cursor, frame);
    let at = next.from;
    if (next.gap) {
      await events.emit('gap', next.gap);
      if (this.#forgotten) return;
      await cursors.save(this.#stream, at);
    }
    for (const entry of frame.entries) {
      if (entry.position <= at.position) continue;
      if (this.#stopped) return;
      at = await this.#show(entry, frame, at);
    }
    if (this.#stopped) return;
    const end = { epoch: frame.epoch, position: frame.through };
    if (end.position > at.position) await cursors.save(this.#stream, end);
    acks.handled(this.#stream, end, frame.entries.length, bytesOf(frame.entries));
  }

  /** Shows an entry unless it was, and saves and answers the cursor behind it. */
  async #show(entry: Entry, frame: Deliver, { epoch }: StreamCursor): Promise<StreamCursor> {
    const behind = { epoch, position: entry.position };
    if (!this.#shown.add(entry.id)) await this.#deps.events.emit('message', messageOf(entry, frame));
    if (!this.#forgotten) await this.#deps.cursors.save(this.#stream, behind);
    return behind;
  }

  /** Something is missing: a new connection goes on from the cursor. A link that has ended owes nothing more. */
  #resync(link: Link, cursor: StreamCursor, { epoch, after }: Deliver): void {
    const why = `${this.#stream}: ${epoch} ${after} comes behind ${cursor.epoch} ${cursor.position}`;
    const error = new ClientError('out_of_step', why, { temporary: true });
    if (link.open) this.#deps.events.tell('error', error);
    link.end({ error, reconnect: true });
  }

  #tooSlow(): void {
    const text = `Messages of ${this.#stream} that are not kept were dropped.`;
    this.#deps.events.tell('error', new ClientError('handlers_slow', text, { temporary: true }));
  }
}

function bytesOf(entries: readonly Entry[]): number {
  let bytes = 0;
  for (const { body } of entries) bytes += body.length;
  return bytes;
}
