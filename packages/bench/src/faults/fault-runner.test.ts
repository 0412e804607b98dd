import { expect, test } from '@jest/globals';

import type { FaultSpan } from '../check/log.js';
import type { FaultTargets, Slot } from './fault.js';
import { runFaults } from './fault-runner.js';

/** Slots that say what was done to them. */
function targets(done: string[], broken = ''): FaultTargets {
  const slot = (name: string): Slot & { readonly address: string } => {
    const act = (what: string) => async (): Promise<void> => {
      if (what === broken) throw new Error('no');
      done.push(`${what} ${name}`);
    };
    return {
      name,
      address: '',
      kill: act('kill'),
      start: act('start'),
      pause: () => void done.push(`pause ${name}`),
      resume: () => void done.push(`resume ${name}`),
    };
  };
  return {
    nodes: ['comet-1', 'comet-2', 'job-1'].map(slot),
    services: ['kafka', 'redis'].map(slot),
    dropClients: () => void done.push('drop'),
    churnClient: () => () => void done.push('churned'),
  };
}

const planned = (kind: string, turn = 0, holdMs = 0) => ({ atMs: 0, kind, holdMs, turn });

async function run(
  kinds: ReturnType<typeof planned>[],
  done: string[],
  broken?: string,
): Promise<FaultSpan[]> {
  let nowMs = 0;
  return runFaults(
    kinds,
    { targets: targets(done, broken), nowMs: () => (nowMs += 1), onChange: () => undefined },
    new AbortController().signal,
  );
}

test('faults are injected and undone one after the other, at the nodes in turn', async () => {
  const done: string[] = [];
  const kinds = [
    planned('kill-comet', 1),
    planned('pause-comet', 2),
    planned('restart-redis'),
    planned('drop-clients'),
  ];
  const spans = await run(kinds, done);
  expect(done).toEqual([
    'kill comet-2',
    'start comet-2',
    'pause comet-1',
    'resume comet-1',
    'kill redis',
    'start redis',
    'drop',
  ]);
  expect(spans.map(({ name, injectedAtMs, healedAtMs }) => [name, injectedAtMs, healedAtMs])).toEqual([
    ['kill-comet comet-2', 2, 3],
    ['pause-comet comet-1', 5, 6],
    ['restart-redis', 8, 9],
    ['drop-clients', 11, 12],
  ]);
  expect(spans.map(({ forgetsIds }) => forgetsIds ?? false)).toEqual([false, false, true, false]);
});

test('what cannot be undone is told, and what could not be injected is undone all the same', async () => {
  const done: string[] = [];
  const [unhealed] = await run([planned('kill-job')], done, 'start');
  expect(unhealed?.trouble).toBe('could not be undone: Error: no');
  const [uninjected] = await run([planned('kill-job')], done, 'kill');
  expect(uninjected?.trouble).toBe('could not be injected: Error: no');
  expect(done).toEqual(['kill job-1', 'start job-1']);
});

test('when it is called off, what is broken is put right and nothing more is broken', async () => {
  const done: string[] = [];
  const end = new AbortController();
  const running = runFaults(
    [planned('pause-comet', 0, 60_000), planned('kill-job')],
    { targets: targets(done), nowMs: () => 0, onChange: () => end.abort() },
    end.signal,
  );
  await running;
  expect(done).toEqual(['pause comet-1', 'resume comet-1']);
});
