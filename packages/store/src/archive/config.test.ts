import { expect, test } from '@jest/globals';

import { archiveConfig, retentionAt } from './config.js';

const MINUTE_MS = 60_000;

test('retention counts back from now, to the whole minute', () => {
  const config = archiveConfig.parse({ resumeMaxAgeMs: 2 * MINUTE_MS, historyMaxAgeMs: 5 * MINUTE_MS });
  expect(retentionAt(config, 10 * MINUTE_MS + 59_999)).toEqual({
    resume: { sinceMs: 8 * MINUTE_MS, maxEntries: 1_000 },
    history: { sinceMs: 5 * MINUTE_MS, maxEntries: 100_000 },
  });
});

test('history keeps at least what can be resumed from', () => {
  const config = archiveConfig.parse({
    resumeMaxAgeMs: 5 * MINUTE_MS,
    historyMaxAgeMs: MINUTE_MS,
    resumeMaxEntries: 50,
    historyMaxEntries: 5,
  });
  const { resume, history } = retentionAt(config, 10 * MINUTE_MS);
  expect(history).toEqual(resume);
});
