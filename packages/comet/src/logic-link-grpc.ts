import { call, type ClientDeps, tierClient } from '@halley/cluster/grpc/client';
import type { SessionServiceClient } from '@halley/cluster/grpc/gen/halley/delivery/v1/SessionService';
import { protos } from '@halley/cluster/grpc/protos';
import type { TierView } from '@halley/cluster/registry/registry';
import type { Presence } from '@halley/protocol/client/bodies';
import { HalleyError } from '@halley/protocol/error';
import type { ExceptionReport } from '@halley/service/exception-reports';
import type { ConnectionKey, NodeRef, RoomId, UserId } from '@halley/protocol/ids';

import { v7 as uuidv7 } from 'uuid';

import type { CometMetrics } from './comet-metrics.js';
import { ConnectCalls } from './grpc/connect-calls.js';
import { DisconnectCalls } from './grpc/disconnect-calls.js';
import {
  connectedOf,
  grantsOf,
  pageOf,
  presenceOf,
  roomOpenedOf,
  startAskOf,
} from './grpc/logic-messages.js';
import type {
  Asker,
  ConnectAsk,
  Connected,
  Grants,
  LinkCallOptions,
  LogicLink,
  RenewAnswer,
  RenewAsk,
  RoomOpened,
  RoomStart,
  SessionEnd,
  SessionRef,
  StreamCursor,
  StreamPage,
  StreamRead,
  UpstreamAsk,
} from './logic-link.js';

/** Deadline of a message for the business: Kafka may take its time to elect a leader. */
const RECEIVE_DEADLINE_MS = 10_000;
const RENEW_DEADLINE_MS = 5_000;
/** An archive may have to be asked for every stream of a call. */
const READ_DEADLINE_MS = 5_000;

export interface GrpcLogicLinkDeps {
  /** The registry's view of logic. */
  readonly view: TierView;
  readonly sessionTimeoutMs: number;
  /** This comet, as it is registered. Asked with each call: the name is known once the ports are bound. */
  readonly self: () => NodeRef;
  readonly metrics: CometMetrics;
  readonly client: ClientDeps;
}

/** Calls logic over gRPC, round the nodes that the registry shows. */
export class GrpcLogicLink implements LogicLink {
  readonly #client: SessionServiceClient;
  readonly #connects: ConnectCalls;
  readonly #disconnects: DisconnectCalls;

  constructor(private readonly deps: GrpcLogicLinkDeps) {
    const { view, sessionTimeoutMs } = deps;
    this.#client = tierClient(protos.halley.delivery.v1.SessionService, {
      ...deps.client,
      tier: 'logic',
      view,
      sessionTimeoutMs,
    });
    this.#connects = new ConnectCalls(this.#client);
    this.#disconnects = new DisconnectCalls(this.#client, deps.self);
  }

  async connect(ask: ConnectAsk, options: LinkCallOptions = {}): Promise<Connected> {
    const { counter, token, cookie, clientIp, transport, withoutCursor, version2 } = ask;
    const request = {
      comet: this.deps.self(),
      counter,
      token,
      cookie,
      client_ip: clientIp,
      transport,
      without_cursor: withoutCursor,
      ...(version2 ? { version2: startAskOf(version2) } : {}),
    };
    const reply = await this.#timed('Connect', () => this.#connects.connect(request, options.deadlineMs));
    return connectedOf(reply);
  }

  async disconnect(
    { mid, key, owner }: SessionRef,
    cursor?: StreamCursor,
    end?: SessionEnd,
    alone = false,
  ): Promise<void> {
    const request = { mid, key, owner, ...savedOf(cursor), ...(end && { end }) };
    await this.#timed('Disconnect', () => this.#disconnects.disconnect(request, alone));
  }

  async verifyToken({ mid, key }: Asker, token: Uint8Array): Promise<Grants> {
    const reply = await this.#timed('VerifyToken', () =>
      call(this.#client.VerifyToken.bind(this.#client), { token, mid, key }),
    );
    return grantsOf(reply);
  }

  async openRooms({ mid, key }: Asker, rooms: readonly RoomStart[]): Promise<readonly RoomOpened[]> {
    const starts = rooms.map(({ room, ...start }) => ({ room_id: room, ...startAskOf(start, `r/${room}`) }));
    const request = { comet: this.deps.self(), mid, key, rooms: starts };
    const reply = await this.#timed('OpenRooms', () =>
      call(this.#client.OpenRooms.bind(this.#client), request),
    );
    if (reply.rooms.length !== rooms.length)
      throw new HalleyError('internal', `${reply.rooms.length} rooms opened of ${rooms.length}`);
    return reply.rooms.map(roomOpenedOf);
  }

  async ask(
    { mid, key }: Asker,
    operation: number,
    body: Uint8Array,
    notGranted = false,
  ): Promise<Uint8Array> {
    const request = { comet: this.deps.self(), mid, key, operation, body, not_granted: notGranted };
    const reply = await this.#timed('Ask', () =>
      call(this.#client.Ask.bind(this.#client), request, { deadlineMs: RECEIVE_DEADLINE_MS }),
    );
    return reply.body;
  }

  async presence(mids: readonly UserId[]): Promise<readonly Presence[]> {
    const reply = await this.#timed('Presence', () =>
      call(this.#client.Presence.bind(this.#client), { mids: [...mids] }),
    );
    return reply.users.map(presenceOf);
  }

  async enterRoom(room: RoomId): Promise<{ readonly durable: boolean }> {
    const request = { comet: this.deps.self(), room_id: room };
    return this.#timed('EnterRoom', () => call(this.#client.EnterRoom.bind(this.#client), request));
  }

  async leaveRoom(room: RoomId): Promise<void> {
    const request = { comet: this.deps.self(), room_id: room };
    await this.#timed('LeaveRoom', () => call(this.#client.LeaveRoom.bind(this.#client), request));
  }

  async renew({ sessions, rooms, streams, online }: RenewAsk): Promise<RenewAnswer> {
    const request = {
      comet: this.deps.self(),
      sessions: sessions.map(({ mid, key, owner, cursor, wantsNewest }) => ({
        mid,
        key,
        owner,
        wants_newest: wantsNewest,
        ...savedOf(cursor),
      })),
      rooms: [...rooms],
      streams: [...streams],
      ...(online ? { online: { room_counts: Object.fromEntries(online) } } : {}),
    };
    const reply = await this.#timed('Renew', () =>
      call(this.#client.Renew.bind(this.#client), request, { deadlineMs: RENEW_DEADLINE_MS }),
    );
    return {
      generation: reply.generation,
      superseded: reply.superseded.map(({ mid, key, owner }) => ({
        mid: mid as UserId,
        key: key as ConnectionKey,
        owner,
      })),
      cluster: reply.cluster ? new Map(Object.entries(reply.cluster.room_counts)) : undefined,
      leaseMs: Number(reply.route_lease_ms),
      newest: reply.newest.map(Number),
      streamsNewest: reply.streams_newest.map(Number),
    };
  }

  async read(reads: readonly StreamRead[]): Promise<readonly StreamPage[]> {
    const request = {
      reads: reads.map(({ stream, epoch, after, maxEntries, maxBytes }) => ({
        stream,
        epoch,
        after,
        max_entries: maxEntries,
        max_bytes: maxBytes,
      })),
    };
    const reply = await this.#timed('Read', () =>
      call(this.#client.Read.bind(this.#client), request, { deadlineMs: READ_DEADLINE_MS }),
    );
    return reply.pages.map(pageOf);
  }

  async receive({ mid, key, roomId, frame }: UpstreamAsk): Promise<void> {
    const { ver, op, seq, body } = frame;
    const request = {
      comet: this.deps.self(),
      mid,
      key,
      room_id: roomId,
      proto: { ver, op, seq, body },
      // Given here, so that a call that gRPC repeats is the same message to the business.
      id: uuidv7(),
    };
    await this.#timed('Receive', () =>
      call(this.#client.Receive.bind(this.#client), request, { deadlineMs: RECEIVE_DEADLINE_MS }),
    );
  }

  async report(reports: readonly ExceptionReport[]): Promise<void> {
    const request = {
      comet: this.deps.self(),
      reports: reports.map(({ reportId, atMs, lastAtMs, position, keys, ...report }) => ({
        ...report,
        report_id: Buffer.from(reportId),
        keys: [...keys],
        at_ms: atMs,
        last_at_ms: lastAtMs,
        ...(position === undefined ? {} : { position }),
      })),
    };
    await this.#timed('Report', () => call(this.#client.Report.bind(this.#client), request));
  }

  reachable(): boolean {
    return this.deps.view.nodes().length > 0;
  }

  close(): void {
    this.#client.close();
  }

  async #timed<Answer>(method: string, run: () => Promise<Answer>): Promise<Answer> {
    const startedMs = performance.now();
    try {
      return await run();
    } finally {
      this.deps.metrics.logicCall(method, (performance.now() - startedMs) / 1_000);
    }
  }
}

/** Where a device goes on when it comes back, and whether it has said so itself. */
function savedOf(cursor: StreamCursor | undefined) {
  if (!cursor) return {};
  const { stream, epoch, position, acknowledged = false, moved = false } = cursor;
  return { cursor: { stream, epoch, position }, acknowledged, moved };
}
