import { EmbeddedRegistry } from '@halley/cluster/registry/embedded';
import { createCometApp } from '@halley/comet/app';
import { createJobApp } from '@halley/job/app';
import { createLogicApp } from '@halley/logic/app';
import { systemClock } from '@halley/service/clock';
import { type Service, ServiceGroup } from '@halley/service/lifecycle';
import type { Logger } from '@halley/service/log';
import { EmbeddedArchive } from '@halley/store/archive/embedded';
import { EmbeddedDeadLetters } from '@halley/store/dead/embedded';
import { EmbeddedLedger } from '@halley/store/ledger/embedded';
import { EmbeddedReads } from '@halley/store/reads/embedded';
import { EmbeddedRoutes } from '@halley/store/routes/embedded';
import { EmbeddedSchedules } from '@halley/store/schedule/embedded';
import { EmbeddedStreams } from '@halley/store/streams/embedded';

import { demoPages } from '../demo-pages.js';
import type { StartedNodes } from './banner.js';
import { startedBus } from './started-bus.js';
import type { StartConfig } from './start-config.js';
import type { tierSchemas } from './tier-schemas.js';
import type { Readiness } from './until-ready.js';

/**
 * comet, logic and job with embedded registry, routes, streams and archive between them, and with a bus that is embedded
 * too, or in Redis. The caller holds the data folder's lock.
 */
export class StartedTiers implements Service, Readiness {
  readonly name = 'tiers';
  /** Whether the chat page is there: it is asked for, and was built. */
  readonly servesDemo: boolean;
  readonly #comet: ReturnType<typeof createCometApp>;
  readonly #logic: ReturnType<typeof createLogicApp>;
  readonly #job: ReturnType<typeof createJobApp>;
  readonly #all: ServiceGroup;

  constructor({ dataDir, tiers }: StartConfig<typeof tierSchemas>, log: Logger) {
    const bus = startedBus(tiers.logic, { dataDir, log, clock: systemClock });
    const { partitions } = tiers.logic.bus;
    const registry = new EmbeddedRegistry({ log });
    const routes = new EmbeddedRoutes({ leaseMs: tiers.logic.routes.leaseMs });
    const { inlineBytes } = tiers.logic.streams;
    const streams = new EmbeddedStreams({ dataDir, shards: partitions, inlineBytes, log });
    const archive = new EmbeddedArchive({ dataDir });
    const reads = new EmbeddedReads({ dataDir });
    const dead = new EmbeddedDeadLetters({ dataDir });
    const schedules = new EmbeddedSchedules({ dataDir });
    const ledger = new EmbeddedLedger({ dataDir });
    const stores = { bus, routes, streams, archive };
    this.#logic = createLogicApp(tiers.logic, {
      registry,
      ...stores,
      reads,
      dead,
      schedules,
      ledger,
      log: log.child({ tier: 'logic' }),
    });
    const pages = tiers.comet.http.demo ? demoPages() : undefined;
    this.servesDemo = pages !== undefined;
    this.#comet = createCometApp(tiers.comet, {
      registry,
      log: log.child({ tier: 'comet' }),
      ...(pages && { pages }),
    });
    this.#job = createJobApp(tiers.job, {
      registry,
      ...stores,
      dead,
      schedules,
      ledger,
      log: log.child({ tier: 'job' }),
    });
    const services = [
      bus,
      streams,
      archive,
      reads,
      dead,
      schedules,
      ledger,
      routes,
      registry,
      this.#logic,
      this.#comet,
      this.#job,
    ];
    this.#all = new ServiceGroup(this.name, services, log);
  }

  /** Once it has started. */
  get nodes(): StartedNodes {
    return { comet: this.#comet.node, logic: this.#logic.node, job: this.#job.node };
  }

  ready(): readonly string[] {
    return [this.#logic, this.#comet, this.#job].flatMap((app) => app.ready());
  }

  start(): Promise<void> {
    return this.#all.start();
  }

  stop(deadlineMs: number): Promise<void> {
    return this.#all.stop(deadlineMs);
  }
}
