import { setTimeout as sleep } from 'node:timers/promises';

import type { Bench } from './bench.js';
import type { ConnectOutcome } from './connect.js';

/** One in so many is there already when the others are counted: what a process takes once is not a connection's. */
const FIRST_SHARE = 10;

/** Connections that only keep alive: what memory each takes, and what they cost while nothing is pushed. */
export async function runIdle(bench: Bench): Promise<ConnectOutcome> {
  const { connections, settleMs, durationMs } = bench.options;
  const { signal } = bench.deps;
  const wait = (ms: number) => sleep(ms, undefined, { signal }).catch(() => undefined);
  const first = Math.floor(connections / FIRST_SHARE);
  if (first > 0) {
    bench.say(`${first} connections first`);
    await bench.connectAll(await bench.load(first));
    await wait(settleMs);
  }
  const side = await bench.load(connections - first, first);
  const before = await bench.accounts();
  bench.say(`${connections - first} connections`);
  const connect = await bench.connectAll(side);
  bench.say(`connected in ${(connect.elapsedMs / 1_000).toFixed(1)} s; nothing is pushed`);
  await wait(settleMs);
  const readers = (await side.sample()).cpuMs;
  const from = await bench.accounts();
  await wait(durationMs);
  const to = await bench.accounts();
  const readersMs = (await side.sample()).cpuMs - readers;
  const grown = bench.tiers(before, to, { connections: connections - first });
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
