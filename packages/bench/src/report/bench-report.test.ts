import { expect, test } from '@jest/globals';

import type { LimitResult } from '../limit/run.js';
import type { BenchResult, BenchSample } from '../scenario/result.js';
import { benchHtml } from './bench-html.js';
import { benchLines, sampleLine, verdictText } from './bench-lines.js';
import { bytesText, columns, count, micros, shortTime } from './figures.js';
import { limitHtml, limitLines, limitVerdict } from './limit-lines.js';

const LATENCY = { count: 9, p50Ms: 1.234, p90Ms: 4, p99Ms: 12.34, p999Ms: 120, maxMs: 1_520 };
const SAMPLE: BenchSample = {
  atMs: 250,
  connections: 10_000,
  deliveredPerSecond: 400_000,
  pushesPerSecond: 40,
  p50Ms: 20,
  p99Ms: 40,
  cpuPercent: { comet: 42.4 },
  rssBytes: { comet: 96 * 1_048_576 },
};
const RESULT: BenchResult = {
  scenario: 'room',
  target: '<host>',
  startedAt: '2026-01-01T00:00:00.000Z',
  settings: { connections: '10000', via: 'batch' },
  connects: [
    { connected: 10_000, failed: {}, retried: {}, elapsedMs: 1_250, perSecond: 8_000, latency: LATENCY },
  ],
  traffic: {
    due: 400,
    ok: 400,
    refused: 0,
    unknown: 0,
    unsent: 0,
    whys: {},
    expected: 4_000_000,
    delivered: 4_000_000,
    lost: 0,
    outOfOrder: 0,
    repeated: 0,
    strays: 0,
    closed: {},
    windowMs: 10_000,
    pushesPerSecond: 40,
    deliveredPerSecond: 400_000,
    latency: LATENCY,
    percentiles: [0, 50, 90, 99, 100].map((percentile) => ({ percentile, ms: percentile + 1 })),
    lateness: { ...LATENCY, p50Ms: 0.05, p99Ms: 0.4 },
    answers: { ...LATENCY, p50Ms: 0.9 },
    lastAfterMs: 31,
  },
  tiers: [
    { tier: 'comet', processes: 1, cpuPercent: 42.4, rssBytes: 96 * 1_048_576, microsPerDelivered: 1.06 },
    { tier: 'job', processes: 2, cpuPercent: 3.21, rssBytes: 80 * 1_048_576, microsPerDelivered: 0.08 },
  ],
  load: { kind: 'native', readersPercent: 31, pusherPercent: 4.2 },
  samples: [SAMPLE, { ...SAMPLE, atMs: 500 }],
  faults: [],
  warnings: ['<slow>'],
};

test('numbers are written as people read them', () => {
  expect([count(1_234_567.6), shortTime(0.416), shortTime(12.34), shortTime(1_520)]).toEqual([
    '1,234,568',
    '0.42 ms',
    '12.3 ms',
    '1.52 s',
  ]);
  expect([micros(1.517), micros(340.4), bytesText(4_300), bytesText(96 * 1_048_576)]).toEqual([
    '1.52 µs',
    '340 µs',
    '4.2 KB',
    '96 MB',
  ]);
  expect(
    columns([
      ['a', 'bb'],
      ['aaa', 'b'],
    ]),
  ).toEqual(['a    bb', 'aaa   b']);
});

test('the end of a run is a line for each thing, and a table of the tiers', () => {
  expect(benchLines(RESULT)).toEqual([
    'connected 10,000 in 1.25 s, 8,000 a second; p50 1.23 ms, p90 4.00 ms, p99 12.3 ms, p99.9 120 ms, max 1.52 s',
    'pushed    400 OK; 40 a second',
    'delivered 4,000,000 of 4,000,000, 400,000 a second; lost 0, out of order 0, repeated 0',
    'answered  p50 0.90 ms, p90 4.00 ms, p99 12.3 ms, p99.9 120 ms, max 1.52 s',
    'latency   p50 1.23 ms, p90 4.00 ms, p99 12.3 ms, p99.9 120 ms, max 1.52 s',
    "          of it the bench's own: p50 0.05 ms, p99 0.40 ms; the last message came 31.0 ms after the last push",
    'TIER      CPU  A DELIVERED MESSAGE  MEMORY',
    'comet    42 %              1.06 µs   96 MB',
    'job ×2  3.2 %              0.08 µs   80 MB',
    'load      readers (C) 31 %, pusher 4.2 % of a core',
  ]);
  expect(sampleLine(SAMPLE)).toBe(
    '   0.3 s  10,000 connections  40 pushes/s  400,000 delivered/s  p50 20.0 ms  p99 40.0 ms  comet 42 %',
  );
});

test('the verdict is what speaks against the server', () => {
  expect(verdictText(RESULT)).toBe('passed: nothing lost, nothing out of order, nothing refused');
  expect(verdictText({ ...RESULT, faults: ['2 lost', '1 refused'] })).toBe('failed: 2 lost; 1 refused');
  const { traffic: _, ...connect } = RESULT;
  expect(verdictText(connect)).toBe('passed: every connection was made at its first attempt');
});

test('a ramp is a table, a step a line', () => {
  const { traffic, tiers, load } = RESULT;
  const steps = traffic ? [{ connections: 1_000, connectPerSecond: 8_000, traffic, tiers, load }] : [];
  const { traffic: _, ...rest } = RESULT;
  const lines = benchLines({ ...rest, scenario: 'ramp', connects: [], tiers: [], steps });
  expect(lines[0]).toMatch(/^CONNECTIONS +CONNECTED\/S +DELIVERED\/S/);
  expect(lines[1]).toMatch(/^1,000 +8,000 +400,000 +0 +1\.23 ms +12\.3 ms +1\.06 µs +96 MB$/);
});

test('the report stands alone, has its plots, and escapes what it tells', () => {
  const html = benchHtml(RESULT);
  expect(html).toContain('halley bench room: passed');
  expect(html).toContain('&lt;host&gt;');
  expect(html).toContain('&lt;slow&gt;');
  expect(html).not.toContain('<slow>');
  expect(html.match(/<svg/g)).toHaveLength(2);
  expect(html).not.toMatch(/NaN|undefined|https?:\/\/(?!www\.w3)/);
});

test('the table of targets says of each row whether it is reached, and why not', () => {
  const row = { what: 'fan-out', goim: '1.5×', target: '≤ 1.25×', rounds: [1.2], ratio: 0.96 };
  const beside = { figure: '1.90× C', target: '≤ 2.07×', ratio: 1.9, rounds: [1.9], isReached: true };
  const result: LimitResult = {
    startedAt: '2026-01-01T00:00:00.000Z',
    rounds: 5,
    isPinned: true,
    rows: [
      { ...row, figure: '1.20×', beside: undefined, reached: 'yes', note: '' },
      { ...row, what: 'room', figure: '2.40×', ratio: 1.92, beside, reached: 'for this machine', note: '' },
      {
        ...row,
        goim: '',
        figure: 'not measured',
        ratio: Number.NaN,
        beside: { ...beside, figure: '', target: '' },
        reached: 'no',
        note: '3 <lost>',
      },
    ],
    warnings: [],
  };
  expect(limitLines(result)).toEqual([
    '         goim   target        figure  ratio  same run   target           reached',
    'fan-out  1.5×  ≤ 1.25×         1.20×   0.96         –        –               yes',
    'room     1.5×  ≤ 1.25×         2.40×   1.92   1.90× C  ≤ 2.07×  for this machine',
    'fan-out     –  ≤ 1.25×  not measured      –         –        –                NO',
    '  3 <lost>',
  ]);
  expect(limitVerdict(result)).toBe('1 of 3 reached, 1 more for this machine');
  const html = limitHtml(result);
  expect(html).toContain('3 &lt;lost&gt;');
  expect(html).not.toMatch(/NaN|undefined/);
});
