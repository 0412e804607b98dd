import type { ConnectionKey, RoomId } from '@halley/protocol/ids';
import type { Clock } from '@halley/service/clock';
import type { ExceptionKind, Exceptions } from '@halley/service/exceptions';
import type { Logger } from '@halley/service/log';
import { Repeats } from '@halley/service/repeats';

import type { CometMetrics } from '../comet-metrics.js';
import type { EarlyHints } from '../session/early-hints.js';
import type { Hint } from '../session/follower.js';
import type { SessionTable } from '../session/session-table.js';
import type { StreamIndex } from '../session/stream-index.js';
import type { Fanout } from './fanout.js';
import { HintWalk } from './hint-walk.js';
import { HighWater } from './high-water.js';
import { encodePushes, SharedPush } from './encoded.js';
import type { Encoded } from './format.js';
import { EVERYONE } from './lane.js';
import { type Outgoing, outgoing, type Sender } from './outgoing.js';
import type { RoomTable } from './room-table.js';

export interface DelivererDeps {
  readonly table: SessionTable;
  readonly streams: StreamIndex;
  readonly earlyHints: EarlyHints;
  readonly rooms: RoomTable;
  readonly fanout: Fanout;
  readonly metrics: CometMetrics;
  readonly exceptions: Exceptions;
  readonly clock: Clock;
  readonly log: Logger;
}

/** Where a delivery stands on the bus. */
export interface Origin {
  readonly epoch: string;
  readonly topic: string;
  readonly partition: number;
}

/** A push for connections of this comet, as job sends it. */
export interface Delivered {
  readonly position: number;
  readonly id: string;
  readonly operation: number;
  readonly body: Uint8Array;
  /** Unix milliseconds; 0 is unknown. */
  readonly acceptedAtMs: number;
  /** Unix milliseconds; 0 is never. */
  readonly expireAtMs: number;
  readonly traceparent: string;
  /** Undefined when the business pushed it. */
  readonly sender: Sender | undefined;
  /** Who pushed it; absent where that is not known. */
  readonly caller?: string;
  /** A frame of the protocol itself, for connections with version 2 alone. */
  readonly control: boolean;
  readonly keys: readonly string[];
  readonly rooms: readonly string[];
  readonly everyone: boolean;
  readonly speed: number;
  /** The record of goim's topic that it was taken from; empty for other pushes. */
  readonly source: string;
  /** Streams of which this is an entry at its position: each connection is sent it in its turn, or reads it. */
  readonly streams: readonly StreamHint[];
  /** For the streams: the body was left out, and what is told may stand for several entries. */
  readonly withoutBody: boolean;
}

/** One stream of which a delivery is an entry. */
export interface StreamHint {
  readonly stream: string;
  /** No entry of the stream lies strictly between this and the position. */
  readonly prev: number;
  /** Only these devices of the user; empty is all. */
  readonly keys: readonly string[];
}

/** Records of goim's topic that are remembered: more than jobs have under way at once. */
const MAX_SOURCES = 65_536;

/** Brings pushes to the connections that are here. Who is not here is counted and passed over. */
export class Deliverer {
  readonly #highWater = new HighWater();
  readonly #sources = new Repeats(MAX_SOURCES);

  readonly #walk: HintWalk<Hint, SharedPush>;

  constructor(private readonly deps: DelivererDeps) {
    this.#walk = new HintWalk({
      onDecision: (decision) => deps.metrics.streams.hint(decision),
      onFault: (error) => {
        deps.metrics.dropped('fault', 1);
        deps.log.error({ err: error }, 'a connection could not be told of its stream');
      },
    });
  }

  /** Tells streams nothing more. */
  stop(): void {
    this.#walk.stop();
  }

  /**
   * Takes one delivery: dropped when it was had before or has expired. What is for streams always goes to them: each
   * knows what it had, and one that expired has its turn too. It never throws: one that cannot be delivered is counted and
   * logged, and costs only itself.
   */
  deliver(origin: Origin, delivered: Delivered): void {
    const { metrics, clock, log } = this.deps;
    const { epoch, topic, partition } = origin;
    try {
      const expired = delivered.expireAtMs > 0 && delivered.expireAtMs <= clock.now();
      if (delivered.streams.length > 0) {
        this.#toStreams(epoch, delivered, expired);
        // Hints come in no order that others could be measured by.
        if (!isLive(delivered)) return;
      }
      if (!this.#highWater.advance(epoch, topic, partition, delivered.position)) {
        metrics.dropped('duplicate', 1);
        return;
      }
      // A job that took goim's topic over wrote it again; its targets of other partitions have the same source.
      if (delivered.source !== '' && this.#sources.seen(`${partition} ${delivered.source}`)) {
        metrics.dropped('duplicate', 1);
        return;
      }
      if (expired) {
        metrics.dropped('expired', 1);
        this.#tellLive(delivered, 'expired', 'expired');
        return;
      }
      const push = outgoing(delivered.operation, delivered.body, delivered, delivered.control);
      if (delivered.keys.length > 0) this.toKeys(delivered.keys, push);
      for (const room of delivered.rooms) this.toRoom(room, push);
      if (delivered.everyone) this.toEveryone(push, delivered.speed);
    } catch (error) {
      metrics.dropped('fault', 1);
      log.error({ err: error, topic, partition, position: delivered.position }, 'a delivery failed');
    }
  }

  /** To connections, where they accept the operation. */
  toKeys(keys: readonly string[], push: Outgoing): void {
    let encoded: Encoded | undefined;
    for (const key of keys) {
      const session = this.deps.table.get(key as ConnectionKey);
      if (!session) {
        this.deps.metrics.dropped('not_here', 1);
        this.#tellKey(push, key, 'not_here');
        continue;
      }
      if (!push.control && !session.accepts.has(push.filterOp)) continue;
      encoded ??= encodePushes([push]);
      // With version 2 what is not kept may be dropped; a client of version 1 would not notice.
      if (!session.push(encoded, session.v2 !== undefined)) this.#tellKey(push, key, 'user_slow');
    }
  }

  /** To the connections that follow the streams. */
  #toStreams(epoch: string, delivered: Delivered, expired: boolean): void {
    const { streams, earlyHints, metrics } = this.deps;
    const { position, operation } = delivered;
    const body = delivered.withoutBody ? undefined : delivered.body;
    const push = new SharedPush({ epoch, position, operation, body, expired, about: delivered });
    if (expired && !isLive(delivered)) metrics.dropped('expired', 1);
    for (const { stream, prev, keys } of delivered.streams) {
      const follower = streams.first(stream);
      if (!follower) {
        earlyHints.add(stream);
        metrics.dropped('not_here', 1);
        continue;
      }
      this.#walk.tell(follower, { epoch, position, prev, keys }, push);
      // Who joins while others wait to be told is not told: it has to read.
      if (this.#walk.waiting > 0) earlyHints.add(stream);
    }
  }

  #tellKey({ about }: Outgoing, key: string, reason: string): void {
    if (about) this.deps.exceptions.tell({ ...idOf(about), kind: 'dropped', reason, key });
  }

  /** What is not kept came to nobody here. */
  #tellLive({ keys, rooms, everyone, ...push }: Delivered, kind: ExceptionKind, reason: string): void {
    const what = { ...idOf(push), kind, reason };
    if (keys.length > 0) this.deps.exceptions.tell({ ...what, keys, count: keys.length });
    for (const room of rooms) this.deps.exceptions.tell({ ...what, stream: `r/${room}` });
    if (everyone) this.deps.exceptions.tell({ ...what, stream: EVERYONE });
  }

  /** To all in a room, whatever they accept. */
  toRoom(id: string, push: Outgoing): void {
    const room = this.deps.rooms.get(id as RoomId);
    if (room) this.deps.fanout.push(room.lane, push);
    else this.deps.metrics.dropped('not_here', 1);
  }

  /** To all connections that accept the operation; `speed` messages a second, 0 is as fast as it goes. */
  toEveryone(push: Outgoing, speed: number): void {
    const { table, fanout } = this.deps;
    if (speed > 0) fanout.paced(table.everyone.roster.snapshot(), push, speed);
    else if (table.size > 0) fanout.push(table.everyone, push);
  }
}

function idOf({ id, caller }: { readonly id: string; readonly caller?: string }) {
  return { id, caller };
}

/** Whether a delivery is for others than streams too. */
function isLive({ keys, rooms, everyone }: Delivered): boolean {
  return keys.length + rooms.length > 0 || everyone;
}
