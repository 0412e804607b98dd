import { HalleyError } from '@halley/protocol/error';
import { expect, test } from '@jest/globals';

import { type ExceptionReport, ExceptionReports, KEYS_A_REPORT } from './exception-reports.js';
import { silentLogger } from './log.js';
import { Metrics } from './metrics.js';

function reportsOf(limits: { maxPerSecond?: number; maxWaiting?: number } = {}) {
  const written: ExceptionReport[][] = [];
  const clock = { nowMs: 5_000 };
  const state = { fails: false, unknown: '' };
  const metrics = new Metrics({ process: false });
  const reports = new ExceptionReports({
    tier: 'comet',
    write: async (batch) => {
      if (state.fails) throw new Error('away');
      if (batch.some(({ kind }) => kind === state.unknown))
        throw new HalleyError('invalid_argument', 'kind is none');
      written.push([...batch]);
    },
    maxPerSecond: 100,
    maxWaiting: 100,
    ...limits,
    clock: { now: () => clock.nowMs, monotonicMs: () => clock.nowMs },
    metrics,
    log: silentLogger(),
  });
  const flushed = async (): Promise<ExceptionReport[]> => {
    reports.flush();
    await new Promise((resolve) => setImmediate(resolve));
    return written.splice(0).flat();
  };
  return { reports, clock, state, metrics, flushed };
}

const dropped = { id: 'a', kind: 'dropped', reason: 'room_slow' } as const;

test('what is of one push for one reason is one report of a second, with how often and when', async () => {
  const { reports, clock, flushed } = reportsOf();
  reports.tell({ ...dropped, key: 'web', caller: 'orders', stream: 'r/x' });
  clock.nowMs = 5_400;
  reports.tell({ ...dropped, keys: ['web', 'phone'], caller: 'orders', stream: 'r/x' });
  reports.tell({ ...dropped, key: 'web', caller: 'orders', stream: 'r/x', count: 5 });
  const [report, ...others] = await flushed();
  expect(others).toEqual([]);
  expect(report).toMatchObject({ keys: ['web', 'phone'], count: 7, atMs: 5_000, lastAtMs: 5_400 });
  expect(report?.reportId).toHaveLength(16);
  expect(await flushed()).toEqual([]);
});

test('another push, caller, kind, reason, stream or position is another report', async () => {
  const { reports, flushed } = reportsOf();
  const others = [
    { id: 'b' },
    { caller: 'x' },
    { kind: 'expired' },
    { reason: 'backlog' },
    { stream: 's' },
    { position: 0 },
  ];
  for (const other of [{}, ...others]) reports.tell({ ...dropped, ...other } as typeof dropped);
  expect(await flushed()).toHaveLength(others.length + 1);
});

test('what has no id is not kept, and of many devices some are named', async () => {
  const { reports, flushed } = reportsOf();
  reports.tell({ ...dropped, id: '' });
  for (let device = 0; device < 1_000; device += 1) reports.tell({ ...dropped, key: `d${device}` });
  const [report, ...others] = await flushed();
  expect(others).toEqual([]);
  expect([report?.count, report?.keys.length]).toEqual([1_000, KEYS_A_REPORT]);
});

test('a storm is held to its bound a second: the rest is lost, and that is told and counted', async () => {
  const { reports, clock, metrics, flushed } = reportsOf({ maxPerSecond: 3 });
  for (let push = 0; push < 10; push += 1) reports.tell({ ...dropped, id: `p${push}`, count: 2 });
  reports.tell({ ...dropped, id: 'p0' });
  clock.nowMs = 6_000;
  const [lost, first, ...others] = await flushed();
  expect(lost).toMatchObject({ kind: 'lost', id: '', count: 14, atMs: 5_000, lastAtMs: 6_000 });
  expect(first).toMatchObject({ id: 'p0', count: 3 });
  expect(others).toHaveLength(2);
  expect(await metrics.registry.metrics()).toContain('halley_comet_ledger_lost_total 14');
});

test('while nothing can be written a bounded amount waits, is written later under the same names, and what came beyond is lost', async () => {
  const { reports, state, flushed } = reportsOf({ maxWaiting: 2 });
  state.fails = true;
  reports.tell(dropped);
  expect(await flushed()).toEqual([]);
  for (const id of ['b', 'c', 'd']) reports.tell({ ...dropped, id });
  expect(await flushed()).toEqual([]);
  state.fails = false;
  const found: ExceptionReport[] = [];
  while (found.length < 4) {
    await new Promise((resolve) => setTimeout(resolve, 10));
    found.push(...(await flushed()));
  }
  expect(found.map(({ id, kind }) => `${kind} ${id}`)).toEqual([
    'dropped a',
    'lost ',
    'dropped b',
    'dropped c',
  ]);
});

test('what there is is written when it stops', async () => {
  const { reports, flushed } = reportsOf();
  await reports.start();
  reports.tell(dropped);
  await reports.stop(1_000);
  expect(await flushed()).toHaveLength(1);
});

test('what is refused as it is is dropped, counted and reported as lost; what came with it is written', async () => {
  const { reports, state, metrics, flushed } = reportsOf();
  state.unknown = 'expired';
  reports.tell(dropped);
  reports.tell({ ...dropped, id: 'b', kind: 'expired', count: 3 });
  reports.tell({ ...dropped, id: 'c' });
  expect((await flushed()).map(({ id, kind, count }) => `${kind} ${id} ${count}`)).toEqual([
    'dropped a 1',
    'dropped c 1',
    'lost  3',
  ]);
  expect(await metrics.registry.metrics()).toContain('halley_comet_ledger_lost_total 3');
  state.unknown = 'lost';
  for (let push = 0; push < 101; push += 1) reports.tell({ ...dropped, id: `p${push}` });
  expect(await flushed()).toHaveLength(100);
  expect(await flushed()).toEqual([]);
  expect(await metrics.registry.metrics()).toContain('halley_comet_ledger_lost_total 4');
});

test('what could not be written when it stops is counted once, what waited behind it too', async () => {
  const { reports, state, metrics, flushed } = reportsOf({ maxPerSecond: 2 });
  await reports.start();
  state.fails = true;
  for (const id of ['a', 'b', 'c']) reports.tell({ ...dropped, id });
  await flushed();
  reports.tell({ ...dropped, id: 'd', count: 4 });
  await reports.stop(1);
  expect(await metrics.registry.metrics()).toContain('halley_comet_ledger_lost_total 7');
});
