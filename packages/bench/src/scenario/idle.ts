import { setTimeout as sleep } from 'node:timers/promises';

import type { Bench } from './bench.js';
import type { ConnectOutcome } from './connect.js';

/** Connections that only keep alive: what memory each takes, and what they cost while nothing is pushed. */
export async function runIdle(bench: Bench): Promise<ConnectOutcome> {
  const { connections, settleMs, durationMs } = bench.options;
  const { signal } = bench.deps;
  const side = await bench.load(connections);
  const empty = await bench.accounts();
  bench.say(`${connections} connections`);
  const connect = await bench.connectAll(side);
  bench.say(`connected in ${(connect.elapsedMs / 1_000).toFixed(1)} s; nothing is pushed`);
  await sleep(settleMs, undefined, { signal }).catch(() => undefined);
  const readers = (await side.sample()).cpuMs;
  const from = await bench.accounts();
  await sleep(durationMs, undefined, { signal }).catch(() => undefined);
  const to = await bench.accounts();
  const readersMs = (await side.sample()).cpuMs - readers;
  const grown = bench.tiers(empty, to, { connections });
  const perConnection = new Map(grown.map(({ tier, bytesPerConnection }) => [tier, bytesPerConnection]));
  return {
    connects: [connect],
    tiers: bench.tiers(from, to, {}).map((tier) => {
      const bytesPerConnection = perConnection.get(tier.tier);
      return { ...tier, ...(bytesPerConnection === undefined ? {} : { bytesPerConnection }) };
    }),
    load: bench.loadResult(side.kind, from, to, readersMs),
  };
}
