import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

import { expect, test } from '@jest/globals';

import { push } from './contract-fixture.js';
import { schedulesContract } from './contract.js';
import { EmbeddedSchedules } from './embedded.js';

schedulesContract('the embedded file', async () => {
  const dataDir = await mkdtemp(join(tmpdir(), 'halley-schedules-'));
  let nowMs = 1_800_000_000_000;
  const schedules = new EmbeddedSchedules({ dataDir, clock: { now: () => nowMs } });
  await schedules.start();
  return {
    schedules,
    advance: (ms) => void (nowMs += ms),
    close: async () => {
      await schedules.stop();
      await rm(dataDir, { recursive: true });
    },
  };
});

test('schedules that are opened again are there, and those that are not open say so', async () => {
  const dataDir = await mkdtemp(join(tmpdir(), 'halley-schedules-'));
  const schedules = new EmbeddedSchedules({ dataDir });
  await expect(schedules.get('a', 'b')).rejects.toMatchObject({ code: 'store_unavailable' });
  await schedules.start();
  await schedules.put([push('a', 'b')]);
  await schedules.stop();
  await schedules.start();
  expect(await schedules.get('a', 'b')).toMatchObject({ state: 'waiting' });
  await schedules.stop();
  await rm(dataDir, { recursive: true });
});
