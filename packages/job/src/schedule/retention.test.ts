import { HalleyError } from '@halley/protocol/error';
import { silentLogger } from '@halley/service/log';
import { Metrics } from '@halley/service/metrics';
import { expect, test } from '@jest/globals';

import { JobMetrics } from '../metrics.js';
import { until } from '../testing/rig.js';
import { scheduleRetention } from './retention.js';

test('what ended long enough ago is removed until nothing is left, again and again, whatever fails', async () => {
  const removes = [3, 2, 0, new HalleyError('store_unavailable'), 4, 0];
  const asked: number[] = [];
  const metrics = new Metrics({ process: false });
  const retention = scheduleRetention({
    schedules: {
      retain: async (keepMs) => {
        asked.push(keepMs);
        const removed = removes.shift() ?? 0;
        if (removed instanceof HalleyError) throw removed;
        return removed;
      },
    },
    everyMs: 5,
    keepMs: 60_000,
    metrics: new JobMetrics(metrics, () => 0),
    log: silentLogger(),
  });
  await retention.start();
  await until(() => asked.length >= 7);
  await retention.stop(1_000);
  expect(new Set(asked)).toEqual(new Set([60_000]));
  const removed = await metrics.registry.getSingleMetric('halley_job_schedule_removed_total')?.get();
  expect(removed?.values[0]?.value).toBe(9);
  const failures = await metrics.registry.getSingleMetric('halley_job_schedule_failures_total')?.get();
  expect(failures?.values[0]?.value).toBe(1);
});
