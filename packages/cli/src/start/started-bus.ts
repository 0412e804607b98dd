import { exitOnLoss } from '@halley/service/exit-on-loss';
import type { Bus } from '@halley/store/bus/bus';
import type { BusConfig } from '@halley/store/bus/config';
import type { EmbeddedBusDeps } from '@halley/store/bus/embedded';
import { RedisBus } from '@halley/store/bus/redis';
import type { RoutesConfig } from '@halley/store/routes/config';

import { embeddedBus } from './embedded-bus.js';

/** The one bus of `halley start`: a file of the data folder, or Redis where that is asked for. */
export function startedBus(
  { bus, routes }: { readonly bus: BusConfig; readonly routes: RoutesConfig },
  deps: Pick<EmbeddedBusDeps, 'dataDir' | 'log' | 'clock'>,
): Bus {
  if (bus.adapter !== 'redis') return embeddedBus(bus, deps);
  const { clock, log } = deps;
  return new RedisBus({ config: bus, routes, log, clock, onLost: exitOnLoss });
}
