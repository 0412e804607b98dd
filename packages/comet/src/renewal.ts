import { CloseCode } from '@halley/protocol/close-code';
import { HalleyError } from '@halley/protocol/error';
import type { RoomId } from '@halley/protocol/ids';
import type { Clock } from '@halley/service/clock';
import type { Service } from '@halley/service/lifecycle';
import type { Logger } from '@halley/service/log';
import { streamOf } from '@halley/store/shard';

import type { RoomTable } from './delivery/room-table.js';
import type { LogicLink, RenewAnswer, RenewAsk, SessionRef, SessionRenewal } from './logic-link.js';
import type { RoomDirectory } from './room-directory.js';
import type { Releases } from './session/releases.js';
import type { Session } from './session/session.js';
import { type SessionTable, TAKEN_OVER_REASON } from './session/session-table.js';
import type { StreamIndex } from './session/stream-index.js';

export interface RenewalOptions {
  /** A slice is renewed this often. */
  readonly intervalMs: number;
  /** Everything has been renewed once in this time, or sooner where the lease is short. */
  readonly roundMs: number;
  /** Online figures are told this often. */
  readonly figuresMs: number;
}

export interface RenewalDeps {
  readonly logic: Pick<LogicLink, 'renew'>;
  readonly table: SessionTable;
  readonly streams: StreamIndex;
  readonly rooms: RoomTable;
  readonly directory: RoomDirectory;
  readonly releases: Pick<Releases, 'add'>;
  readonly clock: Clock;
  readonly log: Logger;
  /** The node stood still for longer than the lease. */
  readonly onLeaseLost: () => void;
}

/** Most sessions, and most rooms, of one call. */
const BATCH = 1_000;
const CALLS_AT_ONCE = 4;
/** What a lease is taken to be before logic has told, which it does with the first renewal. */
const LEASE_MS = 60_000;
/** A lease is renewed at least so often while it runs, so that renewals may fail for a while. */
const RENEWALS_OF_A_LEASE = 4;

/**
 * Keeps the leases of this comet's routes and rooms, which are as long as logic says: a slice each second, and everything at
 * once when the route store was lost. Saves cursors with it, and has what is behind its stream read. Tells the online figures and takes those of the cluster. Closes connections whose route has a newer owner.
 */
export class Renewal implements Service {
  readonly name = 'renewal';
  #timer: NodeJS.Timeout | undefined;
  #running: Promise<void> | undefined;
  #session = 0;
  #roomsLeft: RoomId[] = [];
  #generation: string | undefined;
  #leaseMs = LEASE_MS;
  #renewAll = false;
  #lastTickMs: number | undefined;
  #figuresAtMs = Number.NEGATIVE_INFINITY;
  #figuresRooms = -1;
  #failing = false;

  constructor(
    private readonly options: RenewalOptions,
    private readonly deps: RenewalDeps,
  ) {}

  async start(): Promise<void> {
    this.#timer ??= setInterval(() => this.tick(), this.options.intervalMs);
  }

  async stop(_deadlineMs: number): Promise<void> {
    clearInterval(this.#timer);
    this.#timer = undefined;
    await this.#running;
  }

  /**
   * Everything is renewed, and the newest position of each stream asked for, with the next tick: as after the registry knew
   * this node anew, and after hints may have been lost.
   */
  renewAllSoon(): void {
    this.#renewAll = true;
  }

  /** Tells that nobody is here any more, so that the figures go at once. */
  async farewell(): Promise<void> {
    await this.deps.logic
      .renew({ sessions: [], rooms: [], streams: [], online: new Map() })
      .catch(() => undefined);
  }

  /** One step of the timer; a step that is still under way is not doubled. */
  tick(): void {
    const now = this.deps.clock.monotonicMs();
    const pausedMs = now - (this.#lastTickMs ?? now);
    this.#lastTickMs = now;
    if (pausedMs > this.#leaseMs) {
      this.deps.log.warn({ pausedMs }, 'the node stood still for longer than its leases');
      this.deps.onLeaseLost();
    }
    if (this.#running) return;
    this.#running = this.#step(now).finally(() => {
      this.#running = undefined;
    });
  }

  /** Resolves when the step under way is done. */
  async settled(): Promise<void> {
    await this.#running;
  }

  async #step(now: number): Promise<void> {
    try {
      if (this.#renewAll) await this.#everything();
      else await this.#slice(now);
      if (this.#failing) this.deps.log.info('routes are renewed again');
      this.#failing = false;
    } catch (error) {
      if (!this.#failing)
        this.deps.log.warn({ code: HalleyError.from(error).code }, 'routes are not renewed');
      this.#failing = true;
    }
  }

  async #slice(now: number): Promise<void> {
    const { table, directory } = this.deps;
    const share = Math.min(1, this.options.intervalMs / this.#roundMs);
    const sessions: SessionRenewal[] = [];
    const count = Math.ceil(table.size * share);
    for (let i = 0; i < count; i += 1) {
      if (this.#session >= table.size) this.#session = 0;
      const ref = this.#renewalAt(this.#session);
      if (ref) sessions.push(ref);
      this.#session += 1;
    }
    if (this.#roomsLeft.length === 0) this.#roomsLeft = directory.rooms();
    const rooms = this.#roomsLeft.splice(0, Math.ceil(directory.size * share));
    const figures = this.#figuresDue(now);
    await this.#call(sessions, rooms, figures);
  }

  get #roundMs(): number {
    return Math.min(this.options.roundMs, this.#leaseMs / RENEWALS_OF_A_LEASE);
  }

  async #everything(): Promise<void> {
    this.#renewAll = false;
    const { table, directory } = this.deps;
    const sessions: SessionRenewal[] = [];
    for (let i = 0; i < table.size; i += 1) {
      const ref = this.#renewalAt(i);
      if (ref) sessions.push(ref);
    }
    try {
      await this.#call(sessions, directory.rooms(), this.deps.rooms.counts());
    } catch (error) {
      this.#renewAll = true;
      throw error;
    }
  }

  #renewalAt(index: number): SessionRenewal | undefined {
    const session = this.deps.table.at(index);
    if (session?.state.name !== 'online') return undefined;
    const { mid, key, owner } = session.state.identity;
    const { inbox } = session;
    const cursor = inbox?.cursor;
    return { mid, key, owner, wantsNewest: inbox !== undefined, ...(cursor ? { cursor } : {}) };
  }

  /** The session, while it is online. */
  #find({ mid, key, owner }: SessionRef): Session | undefined {
    const session = this.deps.table.get(key);
    if (session?.state.name !== 'online') return undefined;
    const { identity } = session.state;
    return identity.mid === mid && identity.owner === owner ? session : undefined;
  }

  /** Figures are told at their time, and with the next tick when rooms came or went in a small node. */
  #figuresDue(now: number): ReadonlyMap<RoomId, number> | undefined {
    const { rooms, table } = this.deps;
    const first = this.#figuresRooms !== rooms.changes && rooms.size <= BATCH && table.size <= BATCH;
    if (!first && now - this.#figuresAtMs < this.options.figuresMs) return undefined;
    return rooms.counts();
  }

  /** Renews in batches, a few calls at once; the figures go with the first. */
  async #call(
    sessions: readonly SessionRenewal[],
    rooms: readonly RoomId[],
    online: ReadonlyMap<RoomId, number> | undefined,
  ): Promise<void> {
    const { changes } = this.deps.rooms;
    const asks: RenewAsk[] = [];
    const batches = Math.max(1, Math.ceil(sessions.length / BATCH), Math.ceil(rooms.length / BATCH));
    for (let i = 0; i < batches; i += 1) {
      asks.push({
        sessions: sessions.slice(i * BATCH, (i + 1) * BATCH),
        ...this.#roomsAsk(rooms.slice(i * BATCH, (i + 1) * BATCH), i === 0),
        ...(i === 0 && online ? { online } : {}),
      });
    }
    for (let i = 0; i < asks.length; i += CALLS_AT_ONCE) {
      await Promise.all(asks.slice(i, i + CALLS_AT_ONCE).map((ask) => this.#renew(ask)));
    }
    if (online) {
      this.#figuresAtMs = this.deps.clock.monotonicMs();
      this.#figuresRooms = changes;
    }
  }

  /** Rooms, and their streams where they have some that are followed; everyone's each time. */
  #roomsAsk(rooms: readonly RoomId[], first: boolean): Pick<RenewAsk, 'rooms' | 'streams'> {
    const followed = (stream: string): boolean => this.deps.streams.first(stream) !== undefined;
    const streams = rooms.map(streamOf.room).filter(followed);
    if (first && followed(streamOf.everyone)) streams.push(streamOf.everyone);
    return { rooms, streams };
  }

  async #renew(ask: RenewAsk): Promise<void> {
    const answer = await this.deps.logic.renew(ask).finally(() => this.#withdrawGone(ask));
    if (answer.leaseMs > 0) this.#leaseMs = answer.leaseMs;
    this.#closeSuperseded(answer);
    this.#takeNewest(ask, answer);
    for (const session of ask.sessions)
      if (session.cursor?.moved) this.#find(session)?.inbox?.told(session.cursor);
    if (ask.online) this.#takeFigures(ask.online, answer);
    if (this.#generation !== undefined && this.#generation !== answer.generation) {
      this.deps.log.warn('the route store was lost: everything is renewed');
      // The streams lay there too: what they told until now may be less than what they held.
      this.deps.streams.each((follower) => follower.suspect());
      this.#renewAll = true;
      setImmediate(() => this.tick());
    }
    this.#generation = answer.generation;
  }

  /**
   * A renewal writes what is missing: what left while it was on its way may stand there again, and is removed again.
   */
  #withdrawGone({ sessions, rooms }: RenewAsk): void {
    const { releases, directory } = this.deps;
    for (const session of sessions) if (!this.#find(session)) releases.add(session);
    for (const room of rooms) directory.withdrawGone(room);
  }

  #closeSuperseded(answer: RenewAnswer): void {
    for (const route of answer.superseded) {
      this.#find(route)?.close(CloseCode.TakenOver, TAKEN_OVER_REASON, false);
    }
  }

  /** Whose stream has news that it was not told of reads them. */
  #takeNewest({ sessions, streams }: RenewAsk, { newest, streamsNewest }: RenewAnswer): void {
    let next = 0;
    for (const session of sessions) {
      if (!session.wantsNewest) continue;
      const position = newest[next];
      next += 1;
      if (position !== undefined) this.#find(session)?.inbox?.renewed(position);
    }
    for (const [index, stream] of streams.entries()) {
      const position = streamsNewest[index];
      // A logic of before tells none.
      if (position === undefined) return;
      let follower = this.deps.streams.first(stream);
      for (; follower; follower = follower.streamNext) follower.renewed(position);
    }
  }

  #takeFigures(reported: ReadonlyMap<RoomId, number>, answer: RenewAnswer): void {
    if (!answer.cluster) return;
    for (const [id, own] of reported) {
      this.deps.rooms.get(id)?.renewed(answer.cluster.get(id) ?? own, own);
    }
  }
}
