import { beforeEach, describe, expect, test } from '@jest/globals';
import { HalleyError } from '@halley/protocol/error';
import type { RoomId } from '@halley/protocol/ids';

import type { RoomOpened, RoomStart } from '../logic-link.js';
import { until } from '../testing/harness.js';
import { RoomEnds } from './room-ends.js';

const room = (index: number): RoomId => `chat://${index}` as RoomId;
const opened = ({ room: id }: RoomStart): RoomOpened => ({
  start: { stream: `r/${id}`, epoch: 'e', position: 7, atEnd: true, kept: false },
});

async function turns(): Promise<void> {
  for (let turn = 0; turn < 20; turn += 1) await new Promise((resolve) => setImmediate(resolve));
}

let calls: (readonly RoomStart[])[];
let gates: (() => void)[];
let gated: boolean;
let failure: HalleyError | undefined;
let ends: RoomEnds;
beforeEach(() => {
  calls = [];
  gates = [];
  gated = false;
  failure = undefined;
  ends = new RoomEnds({
    logic: {
      openRooms: async (_asker, rooms) => {
        calls.push(rooms);
        if (gated) await new Promise<void>((resolve) => gates.push(resolve));
        if (failure) throw failure;
        return rooms.map(opened);
      },
    },
  });
});

describe('the ends of rooms', () => {
  test('are asked for together where joins come together, each room once', async () => {
    const starts = await Promise.all([ends.of(room(1)), ends.of(room(2)), ends.of(room(1))]);
    expect(starts.map(({ stream }) => stream)).toEqual(['r/chat://1', 'r/chat://2', 'r/chat://1']);
    expect(calls.map((rooms) => rooms.map(({ room: id }) => id))).toEqual([['chat://1', 'chat://2']]);
  });

  test('of a storm are asked for in few calls, a few at a time', async () => {
    gated = true;
    const all = Promise.all(Array.from({ length: 2_000 }, (_, index) => ends.of(room(index))));
    await until(() => calls.length >= 4);
    // Would there be another call, it would be made by now.
    await turns();
    expect(calls).toHaveLength(4);
    gated = false;
    for (const open of gates) open();
    expect(await all).toHaveLength(2_000);
    expect(calls).toHaveLength(8);
  });

  test('are those after the join: one that comes while a call is under way is not given its answer', async () => {
    gated = true;
    const first = ends.of(room(1));
    await until(() => calls.length === 1);
    const second = ends.of(room(1));
    await until(() => calls.length === 2);
    for (const open of gates) open();
    expect((await Promise.all([first, second])).map(({ position }) => position)).toEqual([7, 7]);
  });

  test('that cannot be had fail for those who asked, and are asked for again', async () => {
    failure = new HalleyError('store_unavailable');
    await expect(Promise.all([ends.of(room(1)), ends.of(room(2))])).rejects.toMatchObject({
      code: 'store_unavailable',
    });
    failure = undefined;
    expect((await ends.of(room(1))).position).toBe(7);
  });
});
