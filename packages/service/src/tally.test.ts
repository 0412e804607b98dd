import { expect, test } from '@jest/globals';

import { Metrics } from './metrics.js';

test('what was tallied is in the metric at each scrape, and the same name is the same tally', async () => {
  const metrics = new Metrics({ process: false });
  const tally = metrics.tally('halley_test_total', 'For a test.', 'kind');
  tally.add('room', 3);
  metrics.tally('halley_test_total', 'For a test.', 'kind').add('user');
  expect(await metrics.registry.metrics()).toContain('halley_test_total{kind="room"} 3\n');
  tally.add('room', 2);
  const values = (await metrics.registry.getSingleMetric('halley_test_total')?.get())?.values;
  expect(values?.map(({ labels, value }) => [labels['kind'], value])).toEqual([
    ['room', 5],
    ['user', 1],
  ]);
});
