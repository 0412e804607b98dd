import { setTimeout as sleep } from 'node:timers/promises';

import type { LoadSide } from '../load/load-side.js';
import { count } from '../report/figures.js';
import type { Bench } from '../scenario/bench.js';
import type { ConnectResult } from '../scenario/result.js';
import type { BenchTarget } from '../scenario/target.js';
import { connectFaults } from '../scenario/verdict.js';
import { startBareComet } from './bare/chain.js';
import type { Lab } from './lab.js';
import { type LimitRow, median, rowOf } from './row.js';

const CONNECTIONS = 10_000;
const AT_ONCE = 256;
const PAUSE_MS = 1_500;

/** Authenticated connections a second, comet on one core, in turns with a bare comet; then a storm: all handshakes at once. */
export async function connectRows(lab: Lab): Promise<LimitRow[]> {
  return lab.withComet('comet', async (comet) => {
    const [steady, bare] = await lab.withBare(startBareComet, (other) =>
      rounds(lab, AT_ONCE, [comet.target, ...(other ? [other.target] : [])]),
    );
    const [stormy = []] = await rounds(lab, CONNECTIONS, [comet.target]);
    const rates = (of: readonly ConnectResult[] | undefined): number[] =>
      (of ?? []).map(({ perSecond }) => perSecond);
    return [
      rowOf({
        what: 'authenticated connections/s, comet on one core',
        goim: '10,000',
        bound: 'least',
        limit: 6_000,
        rounds: rates(steady),
        text: count,
        beside: bare && { name: 'bare', rounds: rates(bare) },
        note: bare
          ? `a bare server of Node, which asks nobody who they are: ${count(median(rates(bare)))}; where the target was set that was not measured`
          : '',
        faults: connectFaults(steady ?? []),
      }),
      rowOf({
        what: 'a storm of 10,000 at once: connections that failed',
        goim: '',
        bound: 'most',
        limit: 0,
        rounds: stormy.map(({ failed, retried }) => sum(failed) + sum(retried)),
        text: count,
        note: `${count(Math.min(...rates(stormy)))} a second at least`,
        faults: connectFaults(stormy),
      }),
    ];
  });
}

/** Of each server a list, in turns. The first round, in which a server is cold, is not counted. */
async function rounds(lab: Lab, atOnce: number, targets: readonly BenchTarget[]): Promise<ConnectResult[][]> {
  const servers: { bench: Bench; side: LoadSide; found: ConnectResult[] }[] = [];
  try {
    for (const target of targets) {
      const bench = lab.bench({ target }, { connections: CONNECTIONS, atOnce });
      servers.push({ bench, side: await bench.load(CONNECTIONS), found: [] });
    }
    for (let round = 0; round <= lab.deps.scale.freshRounds; round += 1) {
      for (const { bench, side, found } of servers) {
        bench.say(
          `${CONNECTIONS} connections to ${bench.options.target.name}, ${atOnce} handshakes at once, round ${round}`,
        );
        const outcome = await bench.connect(side);
        if (round > 0) found.push(outcome);
        await side.drop();
        await sleep(PAUSE_MS);
      }
    }
    return servers.map(({ found }) => found);
  } finally {
    for (const { bench } of servers) await bench.stop();
  }
}

function sum(reasons: Readonly<Record<string, number>>): number {
  return Object.values(reasons).reduce((total, one) => total + one, 0);
}
