import type { TierView } from '@halley/cluster/registry/registry';
import type { Clock } from '@halley/service/clock';
import type { Logger } from '@halley/service/log';
import type { Archive } from '@halley/store/archive/archive';
import type { Bus } from '@halley/store/bus/bus';
import type { Ledger } from '@halley/store/ledger/ledger';
import type { Reads } from '@halley/store/reads/reads';
import type { Routes } from '@halley/store/routes/routes';
import type { Schedules } from '@halley/store/schedule/schedules';
import type { Streams } from '@halley/store/streams/streams';

import type { LogicConfig } from '../config.js';
import type { CometLooks } from './comets.js';
import { DeviceFinder } from './devices.js';
import { endedOf } from './ended.js';
import { EntryFinder } from './entries.js';
import { Tracer } from './tracer.js';
import { WaitingPushes } from './waiting.js';

export interface TracerParts {
  readonly config: Pick<LogicConfig, 'archive' | 'consume' | 'bulk'>;
  readonly bus: Pick<Bus, 'lag'>;
  readonly routes: Routes;
  readonly streams: Streams;
  readonly archive: Archive;
  readonly reads: Reads;
  readonly ledger: Ledger;
  readonly schedules?: Schedules | undefined;
  readonly comets: TierView;
  readonly cometClients: CometLooks;
  /** The bus's epoch now. */
  readonly epoch: () => string;
  readonly clock: Clock;
  readonly log: Logger;
}

/** Puts a tracer together. */
export function makeTracer(parts: TracerParts): Tracer {
  const { config, comets, cometClients, ledger, reads, schedules, clock } = parts;
  return new Tracer({
    entries: new EntryFinder(parts),
    devices: new DeviceFinder({
      ...parts,
      comets: cometClients,
      everyComet: () => comets.nodes().map(({ id, incarnation }) => ({ node: id, incarnation })),
      acknowledgedTtlMs: config.archive.resumeMaxAgeMs,
    }),
    ended: (entries, nowMs) => endedOf(entries, parts, nowMs),
    waiting: new WaitingPushes({
      ...parts,
      pushGroup: config.consume.group,
      bulkGroup: config.bulk.group,
    }),
    ledger,
    reads,
    schedules,
    clock,
  });
}
