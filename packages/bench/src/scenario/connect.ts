import { setTimeout as sleep } from 'node:timers/promises';

import type { Accounts, Bench } from './bench.js';
import type { ConnectResult, LoadResult, TierResult } from './result.js';
import { notConnected } from './unreached.js';

export interface ConnectOutcome {
  readonly connects: readonly ConnectResult[];
  readonly tiers: readonly TierResult[];
  readonly load: LoadResult;
}

/** Between the end of all connections and their return. */
const PAUSE_MS = 1_000;

/** All connections are made, dropped at once, and made again, `rounds` times. */
export async function runConnect(bench: Bench): Promise<ConnectOutcome> {
  const { connections, rounds, connectPerSecond } = bench.options;
  const side = await bench.load(connections);
  const connects: ConnectResult[] = [];
  let spent: { from: Accounts; to: Accounts; readersMs: number } | undefined;
  for (let round = 0; round < rounds && !bench.deps.signal.aborted; round += 1) {
    if (round > 0) {
      await side.drop();
      await sleep(PAUSE_MS);
    }
    bench.say(
      `${connections} connections ${connectPerSecond > 0 ? `at ${connectPerSecond} a second` : 'as fast as it goes'}`,
    );
    const before = (await side.sample()).cpuMs;
    const from = await bench.accounts();
    const result = await bench.connect(side);
    // Nobody there is no figure of a server's.
    if (result.connected === 0) throw notConnected(result, bench.addresses());
    connects.push(result);
    const to = await bench.accounts();
    spent = { from, to, readersMs: (await side.sample()).cpuMs - before };
  }
  const { from, to, readersMs } = spent ?? {
    from: await bench.accounts(),
    to: await bench.accounts(),
    readersMs: 0,
  };
  // Of the last round: in the first one the server is cold.
  const made = connects.at(-1)?.connected ?? 0;
  return {
    connects,
    tiers: bench.tiers(from, to, { connections: made }).map(({ bytesPerConnection: _, ...tier }) => tier),
    load: bench.loadResult(side.kind, from, to, readersMs),
  };
}
