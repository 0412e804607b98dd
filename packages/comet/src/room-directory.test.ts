import { beforeEach, describe, expect, test } from '@jest/globals';
import { HalleyError } from '@halley/protocol/error';
import type { RoomId } from '@halley/protocol/ids';
import { silentLogger } from '@halley/service/log';

import { RoomDirectory } from './room-directory.js';
import { Deadlines } from './session/deadlines.js';
import { FakeClock } from './testing/fake-clock.js';
import { FakeLogic } from './testing/fake-logic.js';

const room = 'live://1' as RoomId;
const turn = (): Promise<void> => new Promise((resolve) => setImmediate(resolve));

describe('the room directory', () => {
  let logic: FakeLogic;
  let clock: FakeClock;
  let deadlines: Deadlines;
  let directory: RoomDirectory;
  const pass = (ms: number): void => {
    clock.advance(ms);
    deadlines.advance();
  };
  const hold = (): (() => void) => {
    let release = (): void => undefined;
    logic.gate = new Promise<void>((resolve) => {
      release = resolve;
    });
    return release;
  };

  beforeEach(() => {
    logic = new FakeLogic();
    clock = new FakeClock();
    const log = silentLogger();
    deadlines = new Deadlines({ clock, log });
    directory = new RoomDirectory({ logic, deadlines, clock, log, leaveAfterMs: 30_000 });
  });

  test('only the first member writes the room, and those beside it wait for the same call', async () => {
    const release = hold();
    const all = Promise.all([directory.acquire(room), directory.acquire(room)]);
    expect(directory.rooms()).toEqual([]);
    release();
    await all;
    await directory.acquire(room);
    expect(logic.calls).toEqual([`enter ${room}`]);
    expect(directory.rooms()).toEqual([room]);
  });

  test('it stays written for 30 s after the last has left, and longer when somebody comes back', async () => {
    await directory.acquire(room);
    directory.release(room);
    pass(20_000);
    await directory.acquire(room);
    pass(60_000);
    expect(directory.rooms()).toEqual([room]);
    directory.release(room);
    pass(30_500);
    await turn();
    expect(logic.calls).toEqual([`enter ${room}`, `leave ${room}`]);
    expect(directory.size).toBe(0);
  });

  test('who comes while it is being removed waits, and it is written again after', async () => {
    await directory.acquire(room);
    directory.release(room);
    const release = hold();
    pass(30_500);
    const again = directory.acquire(room);
    await turn();
    expect(logic.calls).toEqual([`enter ${room}`, `leave ${room}`]);
    release();
    await again;
    expect(logic.calls).toEqual([`enter ${room}`, `leave ${room}`, `enter ${room}`]);
    expect(directory.rooms()).toEqual([room]);
  });

  test('a failure is told to all who wait, leaves nothing behind, and the next one tries again', async () => {
    logic.failure = new HalleyError('store_unavailable');
    const both = await Promise.allSettled([directory.acquire(room), directory.acquire(room)]);
    expect(both.map(({ status }) => status)).toEqual(['rejected', 'rejected']);
    expect(directory.size).toBe(0);
    logic.failure = undefined;
    await directory.acquire(room);
    expect(directory.rooms()).toEqual([room]);
  });

  test('at the end rooms without members are removed', async () => {
    await directory.acquire(room);
    await directory.acquire('live://2' as RoomId);
    directory.release(room);
    await directory.leaveAll();
    expect([...logic.rooms]).toEqual(['live://2']);
  });
});
