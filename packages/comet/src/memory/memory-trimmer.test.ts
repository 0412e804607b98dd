import { silentLogger } from '@halley/service/log';
import { beforeEach, describe, expect, test } from '@jest/globals';

import { MemoryTrimmer, type ProcessMemory } from './memory-trimmer.js';

const MIB = 1_048_576;

/** A heap of which each collection leaves so much spare. */
class FakeMemory implements ProcessMemory {
  readonly did: string[] = [];
  busy = 0;
  spare: number[] = [0];

  spareBytes(): number {
    return this.spare[0] ?? 0;
  }

  async collect(): Promise<void> {
    this.did.push('collect');
    if (this.spare.length > 1) this.spare.shift();
  }

  giveBack(): void {
    this.did.push('give back');
  }

  busyShare(): number {
    return this.busy;
  }
}

describe('memory is given back', () => {
  let memory: FakeMemory;
  let nowMs: number;
  let turnover: number;
  let sockets: number;
  let entering: number;
  let trims: number;
  let trimmer: MemoryTrimmer;

  const make = (quietMs: number): MemoryTrimmer =>
    new MemoryTrimmer({
      memory,
      turnover: () => turnover,
      sockets: () => sockets,
      entering: () => entering,
      quietMs,
      clock: { now: () => nowMs, monotonicMs: () => nowMs },
      onTrimmed: () => {
        trims += 1;
      },
      log: silentLogger(),
    });

  async function pass(ms: number): Promise<void> {
    for (let passed = 0; passed < ms; passed += 250) {
      nowMs += 250;
      await trimmer.look();
    }
  }

  beforeEach(() => {
    memory = new FakeMemory();
    nowMs = 0;
    turnover = 0;
    sockets = 0;
    entering = 0;
    trims = 0;
    trimmer = make(1_000);
  });

  test('once, when many connections have come and it has been quiet for a while', async () => {
    for (let come = 0; come < 8; come += 1) {
      turnover += 100;
      await pass(250);
    }
    await pass(750);
    expect(memory.did).toEqual([]);
    await pass(250);
    expect(memory.did).toEqual(['collect', 'give back']);
    await pass(60_000);
    expect(trims).toBe(1);
  });

  test('when many have gone', async () => {
    turnover = 1_000;
    await pass(2_000);
    turnover += 1_000;
    await pass(2_000);
    expect(trims).toBe(2);
  });

  test('not for a few, nor for few of those there are', async () => {
    turnover = 400;
    await pass(5_000);
    sockets = 8_000;
    turnover = 900;
    await pass(5_000);
    expect(trims).toBe(0);
    turnover = 1_100;
    await pass(5_000);
    expect(trims).toBe(1);
  });

  test('also when single connections keep coming', async () => {
    turnover = 1_000;
    await pass(250);
    for (let come = 0; come < 8; come += 1) {
      turnover += 5;
      await pass(250);
    }
    expect(trims).toBe(1);
  });

  test('not while the process is busy', async () => {
    turnover = 1_000;
    memory.busy = 0.7;
    await pass(10_000);
    expect(trims).toBe(0);
    memory.busy = 0.1;
    await pass(1_250);
    expect(trims).toBe(1);
  });

  test('not while many wait to be let in', async () => {
    turnover = 1_000;
    entering = 200;
    await pass(10_000);
    expect(trims).toBe(0);
    entering = 0;
    await pass(1_250);
    expect(trims).toBe(1);
  });

  test('in rounds as long as they give much, four at most', async () => {
    memory.spare = [60, 30, 20, 18, 5].map((mib) => mib * MIB);
    turnover = 1_000;
    await pass(2_000);
    expect(memory.did).toEqual(['collect', 'collect', 'collect', 'give back']);
    memory.did.length = 0;
    memory.spare = [90, 80, 70, 60, 50, 40].map((mib) => mib * MIB);
    turnover += 1_000;
    await pass(2_000);
    expect(memory.did).toEqual(['collect', 'collect', 'collect', 'collect', 'give back']);
  });

  test('not any more once it is stopped', async () => {
    let end = (): void => undefined;
    const collected = new Promise<void>((resolve) => {
      end = resolve;
    });
    memory.collect = () => {
      memory.did.push('collect');
      return collected;
    };
    turnover = 1_000;
    nowMs = 250;
    await trimmer.look();
    nowMs = 2_000;
    const looked = trimmer.look();
    await trimmer.stop(0);
    end();
    await looked;
    expect(memory.did).toEqual(['collect']);
    expect(trims).toBe(0);
  });
});
