import { expect, test } from '@jest/globals';
import { HalleyError } from '@halley/protocol/error';
import { systemClock } from '@halley/service/clock';
import { silentLogger } from '@halley/service/log';
import { Metrics } from '@halley/service/metrics';
import type { Retention } from '@halley/store/archive/archive';

import { JobMetrics } from '../metrics.js';
import { until } from '../testing/rig.js';
import { archiveRetention, BLANK_AFTER_MS } from './retention.js';

test('the archive is looked through again and again, whatever fails, until the stop', async () => {
  const asked: Retention[] = [];
  const blankedBefore: number[] = [];
  const metrics = new Metrics({ process: false });
  const kept = (nowMs: number): Retention => ({
    resume: { sinceMs: nowMs - 10, maxEntries: 1 },
    history: { sinceMs: nowMs - 20, maxEntries: 2 },
  });
  const retention = archiveRetention({
    archive: {
      retain: async (retained) => {
        asked.push(retained);
        if (asked.length === 2) throw new HalleyError('store_unavailable');
        return 3;
      },
      blank: async (beforeMs) => {
        blankedBefore.push(beforeMs);
        return 2;
      },
    },
    everyMs: 5,
    keptAt: kept,
    clock: { ...systemClock, now: () => 100_000 },
    metrics: new JobMetrics(metrics, () => 0),
    log: silentLogger(),
  });
  await retention.start();
  await until(() => asked.length >= 4);
  await retention.stop(1_000);
  const { length } = asked;
  expect(asked[0]).toEqual(kept(100_000));
  expect(blankedBefore[0]).toBe(100_000 - BLANK_AFTER_MS);
  const removed = await metrics.registry.getSingleMetric('halley_job_archive_removed_total')?.get();
  expect(removed?.values[0]?.value).toBe(3 * (length - 1));
  const blanked = await metrics.registry.getSingleMetric('halley_job_archive_blanked_total')?.get();
  expect(blanked?.values[0]?.value).toBe(2 * (length - 1));
});
