import { setTimeout as sleep } from 'node:timers/promises';

import { bytesText, count } from '../report/figures.js';
import type { BenchTarget } from '../scenario/target.js';
import { startBareComet } from './bare/chain.js';
import type { Lab } from './lab.js';
import { type LimitRow, median, rowOf } from './row.js';

/** Those that are there already when the others are counted: what a process takes once is not a connection's. */
const FIRST = 1_000;
/** As goim's figure was taken; a process often has 20,000 descriptors at most. */
const LAST = 19_000;

const ROWS = [
  { transport: 'tcp', name: 'TCP', goim: '27.5 KB', limitBytes: 5 * 1_024 },
  { transport: 'ws', name: 'WebSocket', goim: '29.6 KB', limitBytes: 8 * 1_024 },
] as const;

/** What memory of comet grows by with each idle connection, from 1,000 to 19,000, in a fresh process each time. */
export async function memoryRows(lab: Lab): Promise<LimitRow[]> {
  const rows: LimitRow[] = [];
  for (const { transport, name, goim, limitBytes } of ROWS) {
    const rounds: number[] = [];
    const others: number[] = [];
    for (let round = 0; round < lab.deps.scale.freshRounds; round += 1) {
      lab.deps.onProgress({
        kind: 'phase',
        text: `${FIRST} to ${LAST} idle connections over ${name}, round ${round + 1}`,
      });
      rounds.push(await lab.withComet('comet', ({ target }) => bytesPerConnection(lab, target, transport)));
      await lab.withBare(startBareComet, async (other) => {
        if (other) others.push(await bytesPerConnection(lab, other.target, transport));
      });
    }
    rows.push(
      rowOf({
        what: `memory of an idle connection, ${name}, with all our state`,
        goim,
        bound: 'most',
        limit: limitBytes,
        rounds,
        text: bytesText,
        // Without a target of its own: a byte is a byte on every machine.
        beside: { name: 'bare', rounds: others },
        note: `a bare server of Node took ${bytesText(median(others))}; resident memory, the growth from ${count(FIRST)} to ${count(LAST)} divided by what came`,
      }),
    );
  }
  return rows;
}

async function bytesPerConnection(lab: Lab, target: BenchTarget, transport: 'tcp' | 'ws'): Promise<number> {
  const bench = lab.bench({ target }, { connections: LAST, transport });
  try {
    await bench.connectAll(await bench.load(FIRST));
    await sleep(lab.deps.scale.settleMs);
    const before = await bench.accounts();
    await bench.connectAll(await bench.load(LAST - FIRST, FIRST));
    await sleep(lab.deps.scale.settleMs);
    const tiers = bench.tiers(before, await bench.accounts(), { connections: LAST - FIRST });
    return tiers.find(({ tier }) => tier === 'comet')?.bytesPerConnection ?? Number.NaN;
  } finally {
    await bench.stop();
  }
}
