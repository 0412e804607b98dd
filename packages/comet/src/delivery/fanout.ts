import { type Exceptions, NO_EXCEPTIONS } from '@halley/service/exceptions';

import type { CometMetrics } from '../comet-metrics.js';
import { EVERYONE, FilteredPass, type Lane, type LaneDrop, type LaneTally, type Receiver } from './lane.js';
import { isLate, type Outgoing, outgoingBytes } from './outgoing.js';
import type { SendLoop } from './send-loop.js';

export interface FanoutLimits {
  /** Members served between two turns of the event loop. */
  readonly membersPerTick: number;
  /** Bytes of pushes that may wait for one room (or for everyone) before the newest are dropped. */
  readonly maxBacklogBytes: number;
  /** The same over all rooms. */
  readonly maxTotalBacklogBytes: number;
}

export const DEFAULT_FANOUT_LIMITS: FanoutLimits = {
  membersPerTick: 1_000,
  maxBacklogBytes: 8 * 1024 * 1024,
  maxTotalBacklogBytes: 64 * 1024 * 1024,
};

/** Paced broadcasts under way at once; one more is dropped and counted. */
const MAX_PACED = 16;
const PACE_INTERVAL_MS = 50;

interface Waiter {
  readonly sequence: number;
  readonly written: () => void;
}

interface Paced {
  readonly push: Outgoing;
  readonly pass: FilteredPass;
  readonly members: readonly Receiver[];
  readonly speed: number;
  readonly startedMs: number;
  next: number;
}

/**
 * Writes pushes to rooms and to everyone. Pushes that come in one tick, or while a large room is being served, are joined
 * into one shared buffer; rooms take turns of at most `membersPerTick` members, so that nobody waits long for the event
 * loop. Order holds within a room and within everyone. No receiver is ever waited for: its outbox takes it or it is dropped.
 */
export class Fanout {
  #lanes: Lane[] = [];
  #immediate: NodeJS.Immediate | undefined;
  #sequence = 0;
  #backlogBytes = 0;
  #waiters: Waiter[] = [];
  readonly #paced = new Set<Paced>();
  #pacer: NodeJS.Timeout | undefined;

  constructor(
    private readonly metrics: CometMetrics,
    readonly limits: FanoutLimits = DEFAULT_FANOUT_LIMITS,
    private readonly exceptions: Exceptions = NO_EXCEPTIONS,
    /** Unix milliseconds. */
    private readonly now: () => number = Date.now,
    /** Default: by Node's sockets alone. */
    private readonly sendLoop?: SendLoop,
  ) {}

  /** Bytes of pushes that are not written to every member yet. */
  get backlogBytes(): number {
    return this.#backlogBytes;
  }

  /** Adds a push; when too much waits it is dropped for every member, counted, and false is answered. */
  push(lane: Lane, push: Outgoing): boolean {
    const bytes = outgoingBytes(push);
    const full =
      (lane.active && lane.backlogBytes + bytes > this.limits.maxBacklogBytes) ||
      (this.#backlogBytes > 0 && this.#backlogBytes + bytes > this.limits.maxTotalBacklogBytes);
    if (full) {
      this.metrics.dropped('backlog', push.frames * lane.roster.size);
      this.#tell('backlog', lane.stream, { pushes: [push], count: lane.roster.size, keys: [] });
      return false;
    }
    this.#sequence += 1;
    this.#backlogBytes += bytes;
    lane.add(push, this.#sequence);
    if (!lane.scheduled) {
      lane.scheduled = true;
      this.#lanes.push(lane);
    }
    this.#immediate ??= setImmediate(this.#run);
    return true;
  }

  /** Sends to these members at `speed` messages a second, beside everything else. */
  paced(members: readonly Receiver[], push: Outgoing, speed: number): boolean {
    if (this.#paced.size >= MAX_PACED) {
      this.metrics.dropped('backlog', push.frames * members.length);
      this.#tell('backlog', EVERYONE, { pushes: [push], count: members.length, keys: [] });
      return false;
    }
    const pass = new FilteredPass([push], EVERYONE);
    this.#paced.add({ push, pass, members, speed, startedMs: performance.now(), next: 0 });
    this.#pacer ??= setInterval(this.#pace, PACE_INTERVAL_MS);
    this.#pace();
    return true;
  }

  /** Calls back, at once if nothing waits, when everything pushed until now is in the outboxes (or dropped). */
  whenWritten(written: () => void): void {
    if (this.#lanes.length === 0) written();
    else this.#waiters.push({ sequence: this.#sequence, written });
  }

  /** Drops what waits. */
  stop(): void {
    if (this.#immediate) clearImmediate(this.#immediate);
    this.#immediate = undefined;
    clearInterval(this.#pacer);
    this.#pacer = undefined;
    this.#paced.clear();
    this.#lanes = [];
    this.#waiters = [];
    this.#backlogBytes = 0;
  }

  readonly #run = (): void => {
    this.#immediate = undefined;
    const startedMs = performance.now();
    const room: LaneTally = { sent: 0, dropped: 0 };
    const everyone: LaneTally = { sent: 0, dropped: 0 };
    const nowMs = this.now();
    let budget = this.limits.membersPerTick;
    let turns = this.#lanes.length;
    while (budget > 0 && turns > 0) {
      const lane = this.#lanes.shift();
      if (!lane) break;
      turns -= 1;
      const before = lane.backlogBytes;
      // An empty room costs a little too.
      const [tally, reason] =
        lane.kind === 'room' ? ([room, 'room_slow'] as const) : ([everyone, 'everyone_slow'] as const);
      const served = lane.step(budget, tally, {
        nowMs,
        sendLoop: this.sendLoop,
        onDropped: (drop) => this.#tell(reason, lane.stream, drop),
        onExpired: (push) => this.#tellExpired(lane.stream, push, lane.roster.size),
      });
      budget -= Math.max(1, served);
      this.#backlogBytes -= before - lane.backlogBytes;
      if (lane.active) this.#lanes.push(lane);
      else lane.scheduled = false;
    }
    if (this.#lanes.length > 0) this.#immediate ??= setImmediate(this.#run);
    this.metrics.fannedOut(room.sent, everyone.sent, (performance.now() - startedMs) / 1_000);
    this.metrics.dropped('room_slow', room.dropped);
    this.metrics.dropped('everyone_slow', everyone.dropped);
    this.#release();
  };

  #tell(
    reason: 'backlog' | 'room_slow' | 'everyone_slow',
    stream: string,
    { pushes, count, keys }: LaneDrop,
  ): void {
    if (count === 0) return;
    for (const { about } of pushes)
      if (about) {
        const { id, caller } = about;
        this.exceptions.tell({ id, caller, kind: 'dropped', reason, stream, count, keys });
      }
  }

  /** It waited longer than it was of use. */
  #tellExpired(stream: string, { about }: Outgoing, count: number): void {
    this.metrics.dropped('expired', 1);
    if (!about || count === 0) return;
    const { id, caller } = about;
    this.exceptions.tell({ id, caller, kind: 'expired', reason: 'expired', stream, count });
  }

  #release(): void {
    if (this.#waiters.length === 0) return;
    let oldest = Number.POSITIVE_INFINITY;
    for (const lane of this.#lanes) oldest = Math.min(oldest, lane.oldestSequence);
    while (this.#waiters.length > 0 && (this.#waiters[0] as Waiter).sequence < oldest) {
      this.#waiters.shift()?.written();
    }
  }

  readonly #pace = (): void => {
    const now = performance.now();
    let sent = 0;
    let dropped = 0;
    for (const paced of this.#paced) {
      if (isLate(paced.push, this.now())) {
        this.#tellExpired(EVERYONE, paced.push, paced.members.length - paced.next);
        this.#paced.delete(paced);
        continue;
      }
      const due = Math.min(
        paced.members.length,
        Math.ceil(((now - paced.startedMs + PACE_INTERVAL_MS) / 1_000) * paced.speed),
        paced.next + this.limits.membersPerTick,
      );
      for (; paced.next < due; paced.next += 1) {
        const member = paced.members[paced.next] as Receiver;
        const encoded = member.everyoneSlot < 0 ? undefined : paced.pass.encodedFor(member.accepts);
        if (!encoded) continue;
        const { format } = member;
        const bytes = encoded.bytes(format);
        if (bytes.length === 0) continue;
        if (member.outbox.offer(bytes)) {
          sent += encoded.frames(format);
          continue;
        }
        dropped += encoded.frames(format);
        const keys = member.deviceKey ? [member.deviceKey] : [];
        this.#tell('everyone_slow', EVERYONE, { pushes: paced.pass.pushesOf(encoded), count: 1, keys });
      }
      if (paced.next >= paced.members.length) this.#paced.delete(paced);
    }
    this.metrics.sent('everyone', sent);
    this.metrics.dropped('everyone_slow', dropped);
    if (this.#paced.size === 0) {
      clearInterval(this.#pacer);
      this.#pacer = undefined;
    }
  };
}
