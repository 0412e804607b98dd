import { createClient } from '@halley/cluster/grpc/client';
import type { LogicClient } from '@halley/cluster/grpc/gen/goim/logic/Logic';
import type { KickRequest__Output } from '@halley/cluster/grpc/gen/halley/delivery/v1/KickRequest';
import type { SessionServiceClient } from '@halley/cluster/grpc/gen/halley/delivery/v1/SessionService';
import type { HistoryServiceClient } from '@halley/cluster/grpc/gen/halley/push/v1/HistoryService';
import type { PushServiceClient } from '@halley/cluster/grpc/gen/halley/push/v1/PushService';
import type { UpstreamServiceClient } from '@halley/cluster/grpc/gen/halley/push/v1/UpstreamService';
import { unary } from '@halley/cluster/grpc/handler';
import { protos } from '@halley/cluster/grpc/protos';
import { GrpcServer } from '@halley/cluster/grpc/server';
import { EmbeddedHub, EmbeddedRegistry } from '@halley/cluster/registry/embedded';
import type { NodeRecord, Registration } from '@halley/cluster/registry/registry';
import type { NodeId } from '@halley/protocol/ids';
import { loadConfig } from '@halley/service/config';
import { silentLogger } from '@halley/service/log';
import { Metrics } from '@halley/service/metrics';
import type { Bus } from '@halley/store/bus/bus';
import { EmbeddedRoutes } from '@halley/store/routes/embedded';

import { createLogicApp, type LogicApp } from '../app.js';
import { logicConfig } from '../config.js';
import { embeddedStores, type EmbeddedStores } from './embedded-stores.js';

/** For tests: a logic on free ports with a comet that only counts kicks, and clients of all its services. */
export interface LogicFixture {
  readonly app: LogicApp;
  readonly hub: EmbeddedHub;
  readonly routes: EmbeddedRoutes;
  readonly stores: EmbeddedStores;
  readonly metrics: Metrics;
  readonly comet: Registration;
  readonly kicks: KickRequest__Output[];
  readonly goim: LogicClient;
  readonly sessions: SessionServiceClient;
  readonly push: PushServiceClient;
  readonly upstream: UpstreamServiceClient;
  readonly history: HistoryServiceClient;
  readonly http: string;
  readonly ops: string;
  stop(): Promise<void>;
}

/** Starts it. `flags` are those of the command line. */
export async function startLogic(bus: Bus, flags: readonly string[] = []): Promise<LogicFixture> {
  const log = silentLogger();
  const hub = new EmbeddedHub();
  const registry = new EmbeddedRegistry({ log, hub });
  const cometRegistry = new EmbeddedRegistry({ log, hub });
  const routes = new EmbeddedRoutes({ leaseMs: 60_000 });
  const metrics = new Metrics({ process: false });
  await registry.start();
  await cometRegistry.start();

  const kicks: KickRequest__Output[] = [];
  const cometServer = new GrpcServer({
    host: '127.0.0.1',
    port: 0,
    log,
    metrics: new Metrics({ process: false }),
  });
  cometServer.addService(protos.halley.delivery.v1.DeliveryService.service, {
    Kick: unary(async (request: KickRequest__Output) => {
      kicks.push(request);
      return { closed: request.targets.length };
    }),
  });
  await cometServer.start();
  const comet = await cometRegistry.register({
    ...cometRecord('comet-1'),
    addresses: { grpc: `127.0.0.1:${cometServer.boundPort}`, tcp: '127.0.0.1:3101' },
  });

  const stores = await embeddedStores(bus);
  const { streams, archive, dead, schedules, reads, ledger } = stores;
  const config = loadConfig(logicConfig, {
    defaults: { auth: { mode: 'open' }, grpc: { port: 0 }, http: { port: 0 }, ops: { port: 0 } },
    flags,
  });
  const app = createLogicApp(config, {
    registry,
    bus,
    routes,
    streams,
    archive,
    dead,
    schedules,
    reads,
    ledger,
    log,
    metrics,
  });
  await app.start();
  const options = {
    target: app.node.addresses.grpc ?? '',
    log,
    metrics: new Metrics({ process: false }),
    neverRetried: ['halley.push.v1.PushService'],
  };
  const clients = {
    goim: createClient(protos.goim.logic.Logic, options) as LogicClient,
    sessions: createClient(protos.halley.delivery.v1.SessionService, options) as SessionServiceClient,
    push: createClient(protos.halley.push.v1.PushService, options) as PushServiceClient,
    upstream: createClient(protos.halley.push.v1.UpstreamService, options) as UpstreamServiceClient,
    history: createClient(protos.halley.push.v1.HistoryService, options) as HistoryServiceClient,
  };
  return {
    app,
    hub,
    routes,
    stores,
    metrics,
    comet,
    kicks,
    ...clients,
    http: `http://${app.node.addresses.http}`,
    ops: `http://${app.node.addresses.ops}`,
    stop: async () => {
      for (const client of Object.values(clients)) client.close();
      await app.stop(2_000);
      await stores.stop();
      await cometServer.stop(0);
      await cometRegistry.stop(0);
      await registry.stop(0);
    },
  };
}

/** A comet as it registers. */
export function cometRecord(id: string): NodeRecord {
  return {
    tier: 'comet',
    id: id as NodeId,
    incarnation: 'i1',
    addresses: {},
    hostname: 'host',
    region: 'sh',
    zone: '',
    env: 'dev',
    weight: 10,
    publicAddresses: [],
    portOffset: 0,
    load: { connections: 2, ips: 1 },
    state: 'serving',
    version: '0.1.0',
    registeredAtMs: 1_700_000_000_000,
  };
}
