import { sharedToken } from '@halley/cluster/grpc/auth';
import type { ClientDeps } from '@halley/cluster/grpc/client';
import { serverTlsOf } from '@halley/cluster/grpc/config';
import { protos } from '@halley/cluster/grpc/protos';
import { GrpcServer } from '@halley/cluster/grpc/server';
import type { TierView, ViewChange } from '@halley/cluster/registry/registry';
import type { Clock } from '@halley/service/clock';
import type { Exceptions } from '@halley/service/exceptions';
import type { Logger } from '@halley/service/log';
import type { Metrics } from '@halley/service/metrics';
import { isLoopback, offsetPort } from '@halley/service/node-config';
import type { Archive } from '@halley/store/archive/archive';
import { type Bus, Topic } from '@halley/store/bus/bus';
import type { DeadLetterStore } from '@halley/store/dead/dead';
import type { Events } from '@halley/store/events/event';
import type { Ledger } from '@halley/store/ledger/ledger';
import type { Reads } from '@halley/store/reads/reads';
import type { Routes } from '@halley/store/routes/routes';
import type { Schedules } from '@halley/store/schedule/schedules';
import type { Streams } from '@halley/store/streams/streams';

import { apiKeyCheck } from './api/api-auth.js';
import { deadLetterGrpc } from './api/dead-letter-grpc.js';
import { goimGrpc } from './api/goim-grpc.js';
import { GoimHttp } from './api/goim-http.js';
import { historyGrpc } from './api/history-grpc.js';
import { LedgerCalls } from './api/ledger-calls.js';
import { ledgerGrpc } from './api/ledger-grpc.js';
import { PushCalls } from './api/push-calls.js';
import { pushGrpc } from './api/push-grpc.js';
import { pushService } from './api/push-wire.js';
import { SessionCalls } from './api/session-calls.js';
import { scheduleGrpc } from './api/schedule-grpc.js';
import { sessionGrpc } from './api/session-grpc.js';
import { upstreamGrpc } from './api/upstream-grpc.js';
import { v1Endpoints } from './api/v1/assemble.js';
import { ApiKeys } from './auth/api-key.js';
import type { TokenVerifier } from './auth/verifier.js';
import type { LogicConfig } from './config.js';
import { clientAsks } from './client/assemble.js';
import { ReadMarks } from './client/read-marks.js';
import { DeadLetters } from './dead/dead-letters.js';
import { ClientEvents } from './hooks/client-events.js';
import { SendHook } from './hooks/send-hook.js';
import { makeTracer } from './ledger/assemble.js';
import { logicMetrics, type LogicMetrics, watchAdmission } from './metrics.js';
import { Balancer } from './nodes/balancer.js';
import { ClientNodes } from './nodes/nodes.js';
import { Regions } from './nodes/regions.js';
import { PushAcceptor } from './push/accept.js';
import { Admission } from './push/admission.js';
import { Durability } from './push/durability.js';
import { ScheduleCalls } from './schedule/calls.js';
import { Scheduler } from './schedule/scheduler.js';
import { CometClients } from './session/comet-clients.js';
import { Connector } from './session/connect.js';
import { GoimSessions } from './session/goim-session.js';
import { Kicker } from './session/kick.js';
import { Online } from './session/online.js';
import { Cursors } from './streams/cursor.js';
import { HistoryReader } from './streams/history.js';
import { StreamReader } from './streams/read.js';
import { RoomStreams } from './streams/rooms.js';
import type { ShownEntriesDeps } from './streams/shown.js';
import { UpstreamWriter } from './upstream/receive.js';

/** What a logic works with, started. */
export interface LogicDeps {
  readonly config: LogicConfig;
  readonly bus: Bus;
  readonly routes: Routes;
  readonly streams: Streams;
  readonly archive: Archive;
  readonly reads: Reads;
  /** Undefined where there is none: dead letters are not served then. */
  readonly dead: DeadLetterStore | undefined;
  /** Undefined where there are none: pushes for later are refused then. */
  readonly schedules: Schedules | undefined;
  readonly ledger: Ledger;
  readonly comets: TierView;
  /** The views of every tier, for listing. */
  readonly tiers: readonly TierView[];
  readonly registrySessionTimeoutMs: number;
  readonly verifier: TokenVerifier;
  /** Told what clients did. */
  readonly events: Events;
  /** Told what went wrong with pushes. Default: nobody. */
  readonly exceptions?: Exceptions;
  /** How other nodes are called. */
  readonly client: ClientDeps;
  readonly clock: Clock;
  readonly log: Logger;
  readonly metrics: Metrics;
}

/** The parts of a logic, put together. */
export interface Logic {
  readonly grpc: GrpcServer;
  readonly http: GoimHttp;
  /** Ends streams, so that servers can stop. */
  endStreams(): void;
  close(): void;
}

/** Puts a logic together from its ports. Throws `bad_config`. */
export function assembleLogic(deps: LogicDeps): Logic {
  const { config, bus, routes, streams, archive, verifier, comets, clock, log } = deps;
  const metrics = logicMetrics(deps.metrics);
  const keys = new ApiKeys(config.api.keys, !config.insecure && !isLoopback(config.node.bind));
  const admission = new Admission({ ...config.push, clock });
  watchAdmission(deps.metrics, admission);
  const { schedules } = deps;
  const { maxRecordBytes } = config.bus;
  const { maxBodyBytes } = config.push;
  const scheduler = schedules && new Scheduler({ schedules, maxBodyBytes, maxRecordBytes, clock, metrics });
  const acceptor = new PushAcceptor({
    bus,
    routes,
    streams,
    admission,
    maxRecordBytes,
    clock,
    log,
    metrics,
    ...(scheduler && { scheduler }),
    ...(deps.exceptions && { exceptions: deps.exceptions }),
  });
  const online = new Online({ routes, clock });
  const balancer = new Balancer(config.nodes.regionWeight);
  const nodes = new ClientNodes(balancer, new Regions(config.nodes.regions, config.node.region), {
    ...config.nodes,
    ...config.session,
    backoff: {
      maxDelay: config.nodes.backoffMaxDelayS,
      baseDelay: config.nodes.backoffBaseDelayS,
      factor: config.nodes.backoffFactor,
      jitter: config.nodes.backoffJitter,
    },
  });
  const cometClients = new CometClients({
    view: comets,
    sessionTimeoutMs: deps.registrySessionTimeoutMs,
    client: deps.client,
  });
  const kicker = new Kicker({ comets: cometClients, metrics, log });
  const store = { streams, archive, shards: bus.partitions(Topic.Push), epoch: () => bus.epoch };
  const cursors = new Cursors({ ...store, clock, acknowledgedTtlMs: config.archive.resumeMaxAgeMs });
  const reader = new StreamReader({ ...store, clock, onLeftOut: leftOut(metrics) });
  const history = { history: new HistoryReader({ ...store, clock }), epoch: store.epoch };
  const events = new ClientEvents({ events: deps.events, config: config.events, clock });
  const hook = new SendHook({ config: config.hooks, clock, metrics, log });
  const connector = new Connector({ verifier, routes, kicker, cursors, metrics, events });
  const upstream = new UpstreamWriter({ bus, clock, metrics });
  const marks = new ReadMarks({ ...store, reads: deps.reads, clock });
  const tracer = makeTracer({ ...deps, ...store, cometClients });
  const ledger = new LedgerCalls({ tracer, keys, clock, metrics });
  const stopping = new AbortController();

  balancer.update(comets.nodes());
  const unwatch = comets.onChange((change) => {
    balancer.update(comets.nodes());
    dropFigures(change, online, log);
  });

  const grpc = new GrpcServer({
    use: 'logic gRPC',
    host: config.node.bind,
    port: offsetPort(config.grpc.port, config.node),
    log,
    metrics: deps.metrics,
    ...optional('tls', serverTlsOf(config.cluster)),
  });
  const tiers = { auth: sharedToken(config.cluster.token) };
  const business = { auth: apiKeyCheck(keys, metrics) };
  const limits = { ...config.push, durability: new Durability(config.push) };
  const pushes = new PushCalls({
    acceptor,
    limits,
    clock,
    ...(deps.exceptions && { exceptions: deps.exceptions }),
  });
  const sessionCalls = new SessionCalls({ limits, routes, kicker });
  const sessions = new GoimSessions({ routes, comets });
  grpc.addService(
    protos.goim.logic.Logic.service,
    { ...goimGrpc({ ...config.session, connector, sessions, online, nodes, upstream }) },
    tiers,
  );
  grpc.addService(
    protos.halley.delivery.v1.SessionService.service,
    {
      ...sessionGrpc({
        ...config.session,
        routeLeaseMs: config.routes.leaseMs,
        connector,
        routes,
        online,
        upstream,
        cursors,
        reader,
        verifier,
        marks,
        ledger: deps.ledger,
        asks: clientAsks({
          receiptRooms: config.receipts.rooms,
          ...history,
          acceptor,
          upstream,
          streams,
          routes,
          marks,
          limits,
          clock,
          log,
          metrics,
          events,
          hook,
        }),
        asksToSend: hook.enabled,
        clock,
        metrics,
        events,
        log,
        rooms: new RoomStreams({ shards: store.shards, routes, cursors, durability: limits.durability }),
      }),
    },
    tiers,
  );
  grpc.addService(
    pushService,
    {
      ...pushGrpc({
        pushes,
        sessions: sessionCalls,
        tiers: deps.tiers,
        clock,
        streamWindow: config.push.streamWindow,
        streamWindowBytes: 4 * config.push.maxBodyBytes,
        stopping: stopping.signal,
      }),
    },
    business,
  );
  grpc.addService(
    protos.halley.push.v1.UpstreamService.service,
    { ...upstreamGrpc({ bus, log, metrics, stopping: stopping.signal }) },
    business,
  );
  grpc.addService(protos.halley.push.v1.HistoryService.service, { ...historyGrpc(history) }, business);
  grpc.addService(protos.halley.push.v1.LedgerService.service, { ...ledgerGrpc({ ledger }) }, business);
  const deadLetters = deps.dead && new DeadLetters({ dead: deps.dead, bus, clock, metrics });
  if (deadLetters) {
    const service = protos.halley.push.v1.DeadLetterService.service;
    grpc.addService(service, { ...deadLetterGrpc({ deadLetters }) }, business);
  }

  const partitions = bus.partitions(Topic.Push);
  const scheduleCalls =
    schedules && new ScheduleCalls({ schedules, routes, limits, partitions, maxRecordBytes, clock, metrics });
  if (scheduleCalls) {
    const service = protos.halley.push.v1.ScheduleService.service;
    grpc.addService(service, { ...scheduleGrpc(scheduleCalls) }, business);
  }

  const http = new GoimHttp({
    host: config.node.bind,
    port: offsetPort(config.http.port, config.node),
    trustedProxies: config.http.trustedProxies,
    limits,
    acceptor,
    online,
    nodes,
    comets,
    keys,
    publicNodes: config.api.publicNodes,
    v1: v1Endpoints({
      pushes,
      sessions: sessionCalls,
      tiers: deps.tiers,
      history,
      ledger,
      deadLetters,
      schedules: scheduleCalls,
    }),
    clock,
    metrics,
    log,
  });

  return {
    grpc,
    http,
    endStreams: () => stopping.abort(),
    close: () => {
      unwatch();
      cometClients.close();
    },
  };
}

/** What is left out of pages is counted; comet tells the ledger for which devices. */
function leftOut(metrics: LogicMetrics): ShownEntriesDeps['onLeftOut'] {
  return (_stream, _entry, reason) => metrics.leftOut.inc({ reason });
}

/** Figures of comets that left vanish; one that started again under its name tells its own. */
function dropFigures({ joined, left }: ViewChange, online: Online, log: Logger): void {
  const back = new Set(joined.map(({ id }) => id));
  for (const { id } of left) {
    if (back.has(id)) continue;
    online.drop(id).catch((error: unknown) => {
      log.debug({ err: error, comet: id }, 'the figures of a comet that left stay until they run out');
    });
  }
}

function optional<Name extends string, Value>(name: Name, value: Value | undefined): { [N in Name]?: Value } {
  return (value === undefined ? {} : { [name]: value }) as { [N in Name]?: Value };
}
