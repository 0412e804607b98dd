import { randomUUID } from 'node:crypto';

import { HalleyError } from '@halley/protocol/error';
import type { ConnectionKey, RoomId, UserId } from '@halley/protocol/ids';

import type {
  ConnectAsk,
  Connected,
  LogicLink,
  RenewAnswer,
  RenewAsk,
  SessionRef,
  StreamCursor,
  StreamPage,
  StreamRead,
  UpstreamAsk,
} from '../logic-link.js';
import { FakeStreams } from './fake-streams.js';

/** What the token of the tests says: JSON with goim's fields. */
interface TestToken {
  readonly mid?: number;
  readonly key?: string;
  readonly room_id?: string;
  readonly accepts?: readonly number[];
}

/** logic in the process: routes in a map, and every call can be made to fail or to wait. */
export class FakeLogic implements LogicLink {
  readonly routes = new Map<string, string>();
  readonly rooms = new Set<string>();
  /** Calls in order, as `connect`, `enter a`, `leave a`, `receive text`. */
  readonly calls: string[] = [];
  readonly received: UpstreamAsk[] = [];
  readonly renewals: RenewAsk[] = [];
  readonly streams = new FakeStreams();
  answer: Partial<Connected> = {};
  generation = 'g1';
  superseded: SessionRef[] = [];
  cluster: ReadonlyMap<string, number> | undefined;
  leaseMs = 60_000;
  /** Thrown by every call while set. */
  failure: HalleyError | undefined;
  /** Thrown by reads while set. */
  readFailure: HalleyError | undefined;
  /** Awaited by every call. */
  gate: Promise<void> = Promise.resolve();
  #owners = 0;

  async connect(ask: ConnectAsk): Promise<Connected> {
    await this.#enter('connect');
    let token: TestToken;
    try {
      token = JSON.parse(Buffer.from(ask.token).toString('utf8')) as TestToken;
    } catch {
      throw new HalleyError('bad_token');
    }
    this.#owners += 1;
    const mid = String(token.mid ?? 0) as UserId;
    const key = (token.key || randomUUID()) as ConnectionKey;
    const owner = String(this.#owners).padStart(10, '0');
    this.routes.set(key, owner);
    const keeps = token.key && !ask.withoutCursor ? token.key : undefined;
    return {
      mid,
      key,
      owner,
      roomId: token.room_id ?? '',
      accepts: token.accepts ?? [],
      heartbeatMs: 60_000,
      tokenExpiresAtMs: 0,
      roomGrants: [],
      anyRoom: true,
      ...(mid === '0' ? {} : { start: this.streams.start(`u/${mid}`, keeps) }),
      ...this.answer,
    };
  }

  async disconnect({ key, owner }: SessionRef, cursor?: StreamCursor): Promise<void> {
    await this.#enter(`disconnect ${key}`);
    if (cursor) this.streams.cursors.set(key, cursor);
    if (this.routes.get(key) === owner) this.routes.delete(key);
  }

  async enterRoom(room: RoomId): Promise<void> {
    await this.#enter(`enter ${room}`);
    this.rooms.add(room);
  }

  async leaveRoom(room: RoomId): Promise<void> {
    await this.#enter(`leave ${room}`);
    this.rooms.delete(room);
  }

  async renew(ask: RenewAsk): Promise<RenewAnswer> {
    await this.#enter('renew');
    this.renewals.push(ask);
    const { generation, superseded, cluster, leaseMs } = this;
    for (const { key, cursor } of ask.sessions) if (cursor) this.streams.cursors.set(key, cursor);
    const newest = ask.sessions.flatMap(({ mid, wantsNewest }) =>
      wantsNewest ? [this.streams.newest(`u/${mid}`)] : [],
    );
    return { generation, superseded, cluster, leaseMs, newest };
  }

  async read(reads: readonly StreamRead[]): Promise<readonly StreamPage[]> {
    await this.#enter('read');
    if (this.readFailure) throw this.readFailure;
    return this.streams.read(reads);
  }

  async receive(ask: UpstreamAsk): Promise<void> {
    await this.#enter(`receive ${Buffer.from(ask.frame.body).toString()}`);
    this.received.push({ ...ask, frame: { ...ask.frame, body: Uint8Array.from(ask.frame.body) } });
  }

  reachable(): boolean {
    return this.failure === undefined;
  }

  async #enter(name: string): Promise<void> {
    this.calls.push(name);
    await this.gate;
    if (this.failure) throw this.failure;
  }
}
