import { type Clock, systemClock } from '@halley/service/clock';
import { silentLogger } from '@halley/service/log';
import { expect, test } from '@jest/globals';

import { type Ending, Instance } from './instance.js';
import { Instances } from './instances.js';

const KILLED: Ending = { code: null, signal: 'SIGKILL' };
const FAILED: Ending = { code: 1, signal: null };
const DRAINED: Ending = { code: 0, signal: null };

/** A process that ends when the test says so. */
class FakeProcess {
  readonly signals: NodeJS.Signals[] = [];
  end: (ending: Ending) => void = () => undefined;
  readonly ended: Promise<Ending>;

  constructor(
    readonly pid: number,
    private readonly endsOn?: NodeJS.Signals,
  ) {
    this.ended = new Promise((resolve) => {
      this.end = resolve;
    });
  }

  kill(signal: NodeJS.Signals): void {
    this.signals.push(signal);
    if (signal === this.endsOn) this.end(signal === 'SIGTERM' ? DRAINED : KILLED);
  }
}

/** An instance of processes of the test, in which waiting takes no time; `waits` are those before a start. */
function fixture({
  isReady = true,
  endsOn = 'SIGTERM',
}: { isReady?: boolean; endsOn?: NodeJS.Signals } = {}) {
  const state = { isReady, nowMs: 0 };
  const processes: FakeProcess[] = [];
  const readyPids: number[] = [];
  const waits: number[] = [];
  const clock: Clock = { ...systemClock, monotonicMs: () => state.nowMs };
  const instance = new Instance({
    name: 'comet-1',
    launch: () => {
      const launched = new FakeProcess(processes.length + 1, endsOn);
      processes.push(launched);
      return launched;
    },
    ready: async () => state.isReady,
    onReady: (pid) => readyPids.push(pid),
    clock,
    log: silentLogger(),
    random: () => 1,
    sleep: async (ms) => {
      if (ms !== 100) waits.push(ms);
      await turn();
    },
  });
  return { instance, processes, readyPids, waits, state };
}

function turn(): Promise<void> {
  return new Promise((resolve) => setImmediate(resolve));
}

async function until(condition: () => boolean): Promise<void> {
  while (!condition()) await turn();
}

test('one that is killed is started again, and told once it is ready', async () => {
  const { instance, processes, readyPids } = fixture();
  await instance.start();
  expect(readyPids).toEqual([1]);
  processes[0]?.end(KILLED);
  await until(() => readyPids.length === 2);
  expect(instance.pid).toBe(2);
  await instance.stop(5_000);
});

test('one that was told to stop by somebody else is started again too: that is how one is renewed', async () => {
  const { instance, processes, readyPids } = fixture();
  await instance.start();
  processes[0]?.end(DRAINED);
  await until(() => readyPids.length === 2);
  expect(instance.pid).toBe(2);
  await instance.stop(5_000);
});

test('the wait before a start grows while it ends soon, up to a bound, and is short again after it was ready for long', async () => {
  const { instance, processes, readyPids, waits, state } = fixture();
  await instance.start();
  for (let ends = 1; ends <= 7; ends += 1) {
    processes.at(-1)?.end(FAILED);
    await until(() => readyPids.length === ends + 1);
  }
  expect(waits).toEqual([1_000, 2_000, 4_000, 8_000, 16_000, 30_000, 30_000]);
  state.nowMs += 30_000;
  processes.at(-1)?.end(KILLED);
  await until(() => readyPids.length === 9);
  expect(waits.at(-1)).toBe(1_000);
  await instance.stop(5_000);
});

test('one that gives up before it was ever ready fails the start, and the others are ended', async () => {
  const [bad, good] = [fixture({ isReady: false }), fixture()];
  const started = new Instances([bad.instance, good.instance]).start();
  await until(() => good.readyPids.length === 1);
  bad.processes[0]?.end(FAILED);
  await expect(started).rejects.toThrow('comet-1 ended with exit code 1 before it was ready');
  expect(good.processes[0]?.signals).toEqual(['SIGTERM']);
  expect([bad.processes.length, good.processes.length]).toEqual([1, 1]);
});

test('one that is killed before it was ready is started again', async () => {
  const { instance, processes, readyPids, state } = fixture({ isReady: false });
  const started = instance.start();
  await until(() => processes.length === 1);
  processes[0]?.end(KILLED);
  await until(() => processes.length === 2);
  state.isReady = true;
  await started;
  expect(readyPids).toEqual([2]);
  await instance.stop(5_000);
});

test('a stop has all drain at once, and starts none again', async () => {
  const all = [fixture(), fixture()];
  const instances = new Instances(all.map(({ instance }) => instance));
  await instances.start();
  await instances.stop(5_000);
  for (const { processes } of all) {
    expect(processes.map(({ signals }) => signals)).toEqual([['SIGTERM']]);
  }
});

test('one that does not end in time is killed', async () => {
  const { instance, processes } = fixture({ endsOn: 'SIGKILL' });
  await instance.start();
  await instance.stop(1);
  expect(processes[0]?.signals).toEqual(['SIGTERM', 'SIGKILL']);
});

test('a stop during the start, or between an end and the next start, is the last word', async () => {
  const starting = fixture({ isReady: false });
  const started = starting.instance.start();
  await until(() => starting.processes.length === 1);
  await starting.instance.stop(5_000);
  await started;
  expect(starting.processes).toHaveLength(1);

  const between = fixture();
  await between.instance.start();
  between.processes[0]?.end(KILLED);
  await until(() => between.waits.length === 1);
  await between.instance.stop(5_000);
  expect(between.processes).toHaveLength(1);
});
