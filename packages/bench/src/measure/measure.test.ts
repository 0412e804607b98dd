import { expect, test } from '@jest/globals';

import { parseProcess, type ProcessStat } from './process-stat.js';
import { TierMeter } from './tier-meter.js';

test('processor time and memory are read from /proc, whatever the name of the process', () => {
  const stat = `12939 (a (b) c) R 12932 12932 5855 0 -1 4194304 100 0 0 0 150 50 0 0 20 0 1 0 4971261`;
  const status = 'Name:\ta\nVmRSS:\t    2048 kB\nRssAnon:\t    1024 kB\nRssFile:\t   1024 kB\n';
  expect(parseProcess(stat, status)).toEqual({
    cpuMs: 2_000,
    rssBytes: 2_048 * 1_024,
    anonymousBytes: 1_024 * 1_024,
  });
});

test('the processes of a tier are summed; one that is gone, and a tier of which none is left, are left out', async () => {
  const stats = new Map<number, ProcessStat>();
  const set = (pid: number, cpuMs: number) => stats.set(pid, { cpuMs, rssBytes: 10, anonymousBytes: 5 });
  for (const pid of [1, 2, 3, 4]) set(pid, 100 * pid);
  const meter = new TierMeter(
    [
      { tier: 'comet', pid: 1 },
      { tier: 'comet', pid: 2 },
      { tier: 'comet', pid: 3 },
      { tier: 'job', pid: 4 },
    ],
    async (pid) => stats.get(pid),
  );
  const before = await meter.reading();
  set(1, 130);
  set(2, 204);
  stats.delete(3);
  stats.delete(4);
  expect(meter.between(before, await meter.reading())).toEqual([
    { tier: 'comet', processes: 2, cpuMs: 34, rssBytes: 20, anonymousBytes: 10 },
  ]);
});
