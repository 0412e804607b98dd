import { expect, test } from '@jest/globals';

import { judge } from '../check/judge.js';
import type { CheckLog } from '../check/log.js';
import type { CheckOutcome } from '../check/run.js';
import { htmlReport } from './html.js';
import { resultJson } from './result.js';
import { countsLine, isPassed, termsLine, transportsLine, verdictLine, violationLine } from './summary.js';
import { timelineOf } from './timeline.js';

const LOG: CheckLog = {
  streams: [{ name: 'user-0', kind: 'user' }],
  pushes: [0, 1, 2].map((number) => ({
    stream: 'user-0',
    number,
    outcome: number === 2 ? ('refused' as const) : ('ok' as const),
    attempts: 1,
    pushedAtMs: 1_000 * number,
    answeredAtMs: 1_000 * number + 5,
    via: 'grpc 127.0.0.1:3119',
    ...(number === 2 ? { why: '<full>' } : {}),
  })),
  devices: [
    {
      name: 'user-0/tcp',
      kind: 'goim',
      habit: 'stays',
      streams: ['user-0'],
      connections: [
        { openedAtMs: 0, closedAtMs: 1_200, to: 'tcp://127.0.0.1:3101' },
        { openedAtMs: 1_900, to: 'tcp://127.0.0.1:3201' },
      ],
      shown: [{ atMs: 1_100, connection: 0, stream: 'user-0', number: 1 }],
      strange: [],
      gaps: [],
      absences: [],
    },
  ],
  faults: [{ name: 'kill-comet comet-1', injectedAtMs: 1_150, healedAtMs: 2_500 }],
};

function outcome(log: CheckLog, troubles: string[] = []): CheckOutcome {
  return {
    seed: 42,
    run: 'r',
    startedAt: '2026-01-01T00:00:00.000Z',
    schedule: [{ atMs: 1_150, kind: 'kill-comet', holdMs: 1_000, turn: 0 }],
    log,
    pushedUntilMs: 2_005,
    endMs: 4_000,
    heldBack: 0,
    verdict: judge(log, { endMs: 4_000 }),
    troubles,
    memory: [],
  };
}

test('the verdict is said in a line, and each violation with all that is known of it', () => {
  const failed = outcome(LOG);
  expect(verdictLine(failed)).toBe(
    'lost 1, shown twice 0, out of order 0, phantom 0, wrong user 0, untimely 0',
  );
  expect(countsLine(failed)).toBe(
    'ok 2, refused 1, unknown 0, deliveries 1, declared gaps 0, repeats 0, ' +
      'dropped (ephemeral) 0, 0 of them to connected devices, longest silence 2.9 s',
  );
  expect(failed.verdict.examples.map(violationLine)).toEqual([
    'lost: user-0 #0 at user-0/tcp (goim, stays) was never shown what was answered OK ' +
      '(pushed at 0.0 s by grpc 127.0.0.1:3119; faults: kill-comet comet-1)',
  ]);
});

test('a check has passed when nothing is wrong and all came back', () => {
  const clean = { ...LOG, pushes: LOG.pushes.slice(1) };
  expect(isPassed(outcome(LOG))).toBe(false);
  expect(isPassed(outcome(clean))).toBe(true);
  expect(isPassed(outcome(clean, ['comet-1 was not ready']))).toBe(false);
});

test('the result names the seed, the counts and why pushes were refused', () => {
  expect(resultJson(outcome(LOG), 'cluster.json')).toMatchObject({
    passed: false,
    seed: 42,
    against: 'cluster.json',
    violations: { lost: 1 },
    counts: { ok: 2, refused: 1 },
    reconnects: 1,
    refusals: { '<full>': 1 },
  });
});

test('the timeline counts what happened in each slice', () => {
  const { slices, sliceMs } = timelineOf(outcome(LOG));
  expect(sliceMs).toBe(250);
  expect(slices.length).toBe(16);
  expect(slices.map(({ ok }) => ok).join('')).toBe('1000100000000000');
  expect(slices.map(({ refused }) => refused).join('')).toBe('0000000010000000');
  expect(slices.map(({ deliveries }) => deliveries).join('')).toBe('0000100000000000');
  expect(slices.map(({ away }) => away).join('')).toBe('0000111100000000');
});

test('the report stands alone and escapes what it tells', () => {
  const html = htmlReport(outcome(LOG), 'cluster.json');
  expect(html).toContain('Halley check: failed');
  expect(html).toContain('kill-comet comet-1');
  expect(html).toContain('&lt;full&gt;');
  expect(html).not.toContain('<full>');
  expect(html).not.toMatch(/(src|href)=|https?:\/\/(?!127)/);
});

test('what pushes asked for, and by what clients were connected, is a line each', () => {
  const [device] = LOG.devices;
  const [first, ...others] = LOG.pushes;
  const [one, two] = device!.connections;
  const log: CheckLog = {
    ...LOG,
    pushes: [
      { ...first!, terms: { dueAtMs: 1_000 } },
      ...others,
      { ...first!, number: 3, terms: { dueAtMs: 900, cancel: 'cancelled' } },
      { ...first!, number: 4, terms: { expireAtMs: 500 } },
    ],
    devices: [
      {
        ...device!,
        connections: [
          { ...one!, by: 'tcp' },
          { ...two!, by: 'sse' },
        ],
        shown: [...device!.shown, { atMs: 1_040, connection: 0, stream: 'user-0', number: 0 }],
      },
    ],
  };
  const told = outcome(log);
  expect(termsLine(told)).toBe(
    'scheduled 1, at most 40 ms late; cancelled 1, too late for 0; bulk 0; not shown: 1 expired, 0 for a newer one',
  );
  expect(transportsLine(told)).toBe('clients by transport: sse 1, tcp 1; moved 1 times');
  expect(htmlReport(told, 'here')).toContain('sse 1, tcp 1');
});
