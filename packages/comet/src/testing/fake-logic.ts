import { randomUUID } from 'node:crypto';

import { type Presence, Start } from '@halley/protocol/client/bodies';
import { HalleyError } from '@halley/protocol/error';
import type { ConnectionKey, RoomId, UserId } from '@halley/protocol/ids';
import type { ExceptionReport } from '@halley/service/exception-reports';

import type {
  Asker,
  ConnectAsk,
  Connected,
  Grants,
  LogicLink,
  RenewAnswer,
  RenewAsk,
  RoomOpened,
  RoomStart,
  SessionRef,
  StreamCursor,
  StreamPage,
  StreamRead,
  UpstreamAsk,
} from '../logic-link.js';
import { FakeStreams } from './fake-streams.js';

const EVERYTHING: Grants = {
  tokenExpiresAtMs: 0,
  roomGrants: [],
  anyRoom: true,
  publishGrants: [],
  publishAny: true,
  sendToUsers: true,
};

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
  readonly reports: ExceptionReport[] = [];
  readonly renewals: RenewAsk[] = [];
  readonly streams = new FakeStreams();
  /** Rooms whose messages are kept. */
  readonly durableRooms = new Set<string>();
  /** What was asked, with the operation. */
  readonly asked: {
    readonly operation: number;
    readonly body: Uint8Array;
    readonly asker: Asker;
    readonly notGranted: boolean;
  }[] = [];
  /** Answers what is asked, by operation; empty otherwise. */
  readonly answers = new Map<number, (body: Uint8Array) => Uint8Array | Promise<Uint8Array>>();
  /** How users are. */
  readonly presences = new Map<string, Partial<Presence>>();
  readonly presenceCalls: (readonly UserId[])[] = [];
  /** What the next tokens allow, by token. */
  readonly tokens = new Map<string, Partial<Grants>>();
  readonly connects: ConnectAsk[] = [];
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
    this.connects.push(ask);
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
    const stream = `u/${mid}`;
    const start = ask.version2
      ? this.streams.startAt(stream, ask.version2, token.key)
      : this.streams.start(stream, keeps);
    return {
      mid,
      key,
      owner,
      roomId: token.room_id ?? '',
      accepts: token.accepts ?? [],
      heartbeatMs: 60_000,
      ...EVERYTHING,
      ...(mid === '0' ? {} : { start }),
      ...this.answer,
    };
  }

  async disconnect({ key, owner }: SessionRef, cursor?: StreamCursor): Promise<void> {
    await this.#enter(`disconnect ${key}`);
    if (cursor) this.streams.cursors.set(key, cursor);
    if (this.routes.get(key) === owner) this.routes.delete(key);
  }

  async enterRoom(room: RoomId): Promise<{ durable: boolean }> {
    await this.#enter(`enter ${room}`);
    this.rooms.add(room);
    return { durable: this.durableRooms.has(room) };
  }

  async leaveRoom(room: RoomId): Promise<void> {
    await this.#enter(`leave ${room}`);
    this.rooms.delete(room);
  }

  async verifyToken(_asker: Asker, token: Uint8Array): Promise<Grants> {
    const text = Buffer.from(token).toString();
    await this.#enter(`verify ${text}`);
    const granted = this.tokens.get(text);
    if (!granted) throw new HalleyError('bad_token');
    return { ...EVERYTHING, ...granted };
  }

  async openRooms(_asker: Asker, rooms: readonly RoomStart[]): Promise<readonly RoomOpened[]> {
    await this.#enter(`open ${rooms.map(({ room }) => room).join(' ')}`);
    return rooms.map(({ room, ...start }) => ({
      start: this.streams.startAt(
        `r/${room}`,
        start.cursor ? start : { ...start, start: Start.Newest },
        undefined,
      ),
    }));
  }

  async ask(asker: Asker, operation: number, body: Uint8Array, notGranted = false): Promise<Uint8Array> {
    await this.#enter(`ask ${operation}`);
    this.asked.push({ asker, operation, body: Uint8Array.from(body), notGranted });
    return this.answers.get(operation)?.(body) ?? new Uint8Array(0);
  }

  async presence(mids: readonly UserId[]): Promise<readonly Presence[]> {
    await this.#enter('presence');
    this.presenceCalls.push(mids);
    return mids.map((mid) => ({
      mid,
      online: false,
      platforms: [],
      lastSeenMs: 0,
      ...this.presences.get(mid),
    }));
  }

  async renew(ask: RenewAsk): Promise<RenewAnswer> {
    await this.#enter('renew');
    this.renewals.push(ask);
    const { generation, superseded, cluster, leaseMs } = this;
    for (const { key, cursor } of ask.sessions) if (cursor) this.streams.cursors.set(key, cursor);
    const newest = ask.sessions.flatMap(({ mid, wantsNewest }) =>
      wantsNewest ? [this.streams.newest(`u/${mid}`)] : [],
    );
    const streamsNewest = ask.streams.map((stream) => this.streams.newest(stream));
    return { generation, superseded, cluster, leaseMs, newest, streamsNewest };
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

  async report(reports: readonly ExceptionReport[]): Promise<void> {
    await this.#enter('report');
    this.reports.push(...reports);
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
