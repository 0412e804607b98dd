import { setTimeout as sleep } from 'node:timers/promises';

import { count } from '../report/figures.js';
import { type Bench, connectResult } from '../scenario/bench.js';
import { connectFaults } from '../scenario/verdict.js';
import type { Lab } from './lab.js';
import { type LimitRow, rowOf } from './row.js';

const CONNECTIONS = 10_000;
const PAUSE_MS = 1_500;

/** Authenticated connections a second, comet on one core; then a storm: all handshakes at once. */
export async function connectRows(lab: Lab): Promise<LimitRow[]> {
  return lab.withComet('comet', async (comet) => {
    const steady = lab.bench(comet, { connections: CONNECTIONS, atOnce: 256 });
    const storm = lab.bench(comet, { connections: CONNECTIONS, atOnce: CONNECTIONS });
    try {
      const rates = await rounds(lab, steady);
      const stormy = await rounds(lab, storm);
      return [
        rowOf({
          what: 'authenticated connections/s, comet on one core',
          goim: '10,000',
          bound: 'least',
          limit: 6_000,
          rounds: rates.map(({ perSecond }) => perSecond),
          text: count,
          faults: connectFaults(rates),
        }),
        rowOf({
          what: 'a storm of 10,000 at once: connections that failed',
          goim: '',
          bound: 'most',
          limit: 0,
          rounds: stormy.map(({ failed, retried }) => sum(failed) + sum(retried)),
          text: count,
          note: `${count(Math.min(...stormy.map(({ perSecond }) => perSecond)))} a second at least`,
          faults: connectFaults(stormy),
        }),
      ];
    } finally {
      await steady.stop();
      await storm.stop();
    }
  });
}

/** The first one, in which the comet is cold, is not counted. */
async function rounds(lab: Lab, bench: Bench) {
  const side = await bench.load(CONNECTIONS);
  const found = [];
  for (let round = 0; round <= lab.deps.scale.rounds; round += 1) {
    bench.say(`${CONNECTIONS} connections, ${bench.options.atOnce} handshakes at once, round ${round}`);
    const outcome = connectResult(await side.connect());
    if (round > 0) found.push(outcome);
    await side.drop();
    await sleep(PAUSE_MS);
  }
  await bench.stop();
  return found;
}

function sum(reasons: Readonly<Record<string, number>>): number {
  return Object.values(reasons).reduce((total, one) => total + one, 0);
}
