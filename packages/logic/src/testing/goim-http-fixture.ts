import type { NodeRecord } from '@halley/cluster/registry/registry';
import { silentLogger } from '@halley/service/log';
import { Metrics } from '@halley/service/metrics';
import { EmbeddedRoutes } from '@halley/store/routes/embedded';

import { GoimHttp } from '../api/goim-http.js';
import { ApiKeys } from '../auth/api-key.js';
import { logicMetrics } from '../metrics.js';
import { Balancer } from '../nodes/balancer.js';
import { ClientNodes } from '../nodes/nodes.js';
import { Regions } from '../nodes/regions.js';
import { PushAcceptor } from '../push/accept.js';
import { Admission } from '../push/admission.js';
import { Durability } from '../push/durability.js';
import { Online } from '../session/online.js';
import { FakeBus } from './fake-bus.js';
import { cometRecord } from './logic-fixture.js';

/** What goim's HTTP API takes as a body here. */
export const MEBIBYTE = 1_048_576;

const comet: NodeRecord = {
  ...cometRecord('host:3109'),
  addresses: { grpc: '127.0.0.1:3109', tcp: '127.0.0.1:3101', ws: '127.0.0.1:3102', wss: '127.0.0.1:3103' },
  zone: 'sh001',
  publicAddresses: ['127.0.0.1'],
  load: { connections: 3, ips: 1 },
};

/** For tests: goim's HTTP API on free ports, over a bus and routes that each test gets anew. */
export class GoimHttpFixture {
  bus = new FakeBus();
  routes = new EmbeddedRoutes({ leaseMs: 60_000 });
  #monotonicMs = 1_000_000;
  readonly #clock = { now: () => Date.now(), monotonicMs: () => this.#monotonicMs };
  readonly #metrics = logicMetrics(new Metrics({ process: false }));

  /** Another bus and other routes; what was cached is too old to matter. */
  renew(): void {
    this.bus = new FakeBus();
    this.routes = new EmbeddedRoutes({ leaseMs: 60_000 });
    this.pass(10_000);
  }

  pass(ms: number): void {
    this.#monotonicMs += ms;
  }

  async serve(keys = new ApiKeys([], false), maxInFlight = 1_000, publicNodes = false): Promise<GoimHttp> {
    const clock = this.#clock;
    const metrics = this.#metrics;
    const log = silentLogger();
    const deps = { bus: standIn(() => this.bus), routes: standIn(() => this.routes) };
    const admission = new Admission({ maxInFlight, maxQueuedBytes: 64 * MEBIBYTE, clock });
    const balancer = new Balancer(1.6);
    balancer.update([comet]);
    const server = new GoimHttp({
      host: '127.0.0.1',
      port: 0,
      trustedProxies: [],
      limits: {
        maxBodyBytes: MEBIBYTE,
        maxTargets: 1_000,
        maxDelayMs: 86_400_000,
        durability: new Durability({ durableRooms: ['chat://*'], durableAll: false }),
      },
      acceptor: new PushAcceptor({
        ...deps,
        streams: { full: () => false, appliedAt: async () => undefined },
        maxRecordBytes: 4 * MEBIBYTE,
        admission,
        clock,
        log,
        metrics,
      }),
      online: new Online({ routes: deps.routes, clock }),
      nodes: new ClientNodes(balancer, new Regions({}, ''), {
        domain: 'conn.goim.io',
        hostDomain: '.goim.io',
        tcpPort: 0,
        wsPort: 0,
        wssPort: 0,
        heartbeatMs: 240_000,
        heartbeatMax: 2,
        backoff: { maxDelay: 300, baseDelay: 3, factor: 1.8, jitter: 0.3 },
      }),
      comets: { nodes: () => [comet], onChange: () => () => undefined },
      keys,
      publicNodes,
      v1: [],
      clock,
      metrics,
      log,
    });
    await server.start();
    return server;
  }
}

/** Stands for an object that is replaced. */
function standIn<Target extends object>(target: () => Target): Target {
  return new Proxy({} as Target, {
    get: (_, name) => {
      const value = Reflect.get(target(), name) as unknown;
      return typeof value === 'function' ? (value.bind(target()) as unknown) : value;
    },
  });
}
