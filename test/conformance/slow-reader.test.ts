import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';

import { CloseCode } from '@halley/protocol/close-code';

import type { GoimClient } from '../harness/goim-client.js';
import { startHalley, type StartedHalley } from '../harness/halley-process.js';
import { newKey, newMid, newOp, newRoom } from '../harness/unique.js';
import { eventually } from '../harness/within.js';
import { numbered, Stage, TRANSPORTS } from './suite/stage.js';

/**
 * What becomes of pushes to a client that does not read, from the HTTP call to the socket. The suite says what any server
 * must do with what fits; here more is pushed than kernel and outbox hold, so that the limit is met for sure.
 */
const OUTBOX_BYTES = 256 * 1024;
/** 40 MB: the kernel's buffers of a connection that is not read are far smaller. */
const ALL = [...TRANSPORTS, 'sse', 'poll'] as const;
/** Who sends: what goes over HTTP is written by Node in any case. */
const MODES = [
  { mode: 'natively', env: {}, transports: ALL },
  { mode: "by Node's sockets", env: { HALLEY_NATIVE: 'off' }, transports: TRANSPORTS },
] as const;
const PUSHES = numbered('push', 1_000).map((name) => name.padEnd(40_000));
/** So many at a time, between looks at the metrics. */
const BURST = 25;

/** Pushes in bursts until it is so; answers how many were pushed. */
async function pushUntil(push: (body: string) => Promise<void>, is: () => Promise<boolean>): Promise<number> {
  for (let pushed = 0; pushed < PUSHES.length; pushed += BURST) {
    for (const body of PUSHES.slice(pushed, pushed + BURST)) await push(body);
    if (await is()) return pushed + BURST;
  }
  throw new Error('the limit was not met');
}

const bodies = (client: GoimClient): string[] => client.waiting.map(({ body }) => body.toString());

describe.each(MODES)('sent $mode', ({ env, transports }) => {
  let started: StartedHalley | undefined;

  beforeAll(async () => {
    started = await startHalley(
      [
        `--outbox.maxBytes=${OUTBOX_BYTES}`,
        // A busy machine may take long to push; the client is to find what was written ahead of the close.
        '--session.closeTimeoutMs=60000',
      ],
      { env },
    );
  }, 60_000);

  afterAll(async () => {
    await started?.stop();
  }, 20_000);

  const stage = new Stage(() => halley().target);

  /** The sum of a metric's values whose labels match. */
  async function figure(name: string, labels = ''): Promise<number> {
    let sum = 0;
    for (const line of (await halley().metrics()).split('\n'))
      if (line.startsWith(name) && line.includes(labels)) sum += Number(line.split(' ').at(-1));
    return sum;
  }

  /** By reason; empty is any. */
  const dropped = (reason: string): Promise<number> =>
    figure('halley_comet_messages_dropped_total', reason === '' ? '' : `reason="${reason}"`);

  test.each(transports)(
    'a user who does not read over %s gets everything in order when they read',
    async (transport) => {
      const [mid, op] = [newMid(), newOp()];
      const client = await stage.open(transport, { mid, accepts: [op] });
      const beside = await stage.open(transport, { mid, accepts: [op] });
      client.pause();
      const [closes, drops] = [await figure('halley_comet_closes_total'), await dropped('')];
      const fallenBehind = async (): Promise<boolean> =>
        (await figure('halley_comet_catching_up_connections')) > 0;
      const behindAt = await pushUntil((body) => stage.pushMids(op, [mid], body), fallenBehind);
      const pushed = PUSHES.slice(0, behindAt + 400);
      for (const body of pushed.slice(behindAt)) await stage.pushMids(op, [mid], body);
      // Their other connection, which reads, has them all.
      await eventually(
        () => beside.waiting.length,
        (count) => count >= pushed.length,
      );
      expect(bodies(beside)).toEqual(pushed);
      expect(await fallenBehind()).toBe(true);
      client.resume();
      await eventually(
        () => client.waiting.length,
        (count) => count >= pushed.length,
      );
      expect(bodies(client)).toEqual(pushed);
      await eventually(fallenBehind, (behind) => !behind);
      await stage.pushMids(op, [mid], 'again');
      await eventually(
        () => bodies(client).at(-1),
        (last) => last === 'again',
      );
      expect(bodies(client)).toEqual([...pushed, 'again']);
      expect(await figure('halley_comet_closes_total')).toBe(closes);
      expect(await dropped('')).toBe(drops);
    },
    90_000,
  );

  test.each(transports)(
    'who is anonymous and does not read over %s gets a beginning without a hole, and is told that this is all',
    async (transport) => {
      const [key, op] = [newKey(), newOp()];
      const client = await stage.open(transport, { mid: 0, key, accepts: [op] });
      client.pause();
      const [closes, drops] = [
        await figure('halley_comet_closes_total', '"3008"'),
        await dropped('user_slow'),
      ];
      const pushed = await pushUntil(
        (body) => stage.pushKeys(op, [key], body),
        async () => (await figure('halley_comet_closes_total', '"3008"')) > closes,
      );
      client.resume();
      expect((await client.end(20_000)).code).toBe(transport !== 'tcp' ? CloseCode.Slow : undefined);
      const received = bodies(client);
      expect(received.length).toBeGreaterThan(0);
      expect(received.length).toBeLessThan(pushed);
      expect(received).toEqual(PUSHES.slice(0, received.length));
      expect(await figure('halley_comet_closes_total', '"3008"')).toBe(closes + 1);
      expect(await dropped('user_slow')).toBeGreaterThan(drops);
    },
    90_000,
  );

  test.each(transports)(
    'a member of a room who does not read over %s stays, gets the room in order, and what is missing is counted',
    async (transport) => {
      const [room, op] = [newRoom(), newOp()];
      const client = await stage.open(transport, { mid: newMid(), room_id: room.id });
      const beside = await stage.open(transport, { mid: newMid(), room_id: room.id });
      client.pause();
      const drops = await dropped('room_slow');
      const pushed = await pushUntil(
        (body) => stage.pushRoom(op, room, body),
        async () => (await dropped('room_slow')) > drops + BURST,
      );
      // All of it has been offered to the one who does not read once the other has it.
      await eventually(
        () => beside.waiting.length,
        (count) => count >= pushed,
      );
      expect(bodies(beside)).toEqual(PUSHES.slice(0, pushed));
      const missing = (await dropped('room_slow')) - drops;
      client.resume();
      await eventually(
        () => client.waiting.length,
        (count) => count >= pushed - missing,
      );
      // Nothing waits any more, so the next one fits.
      expect(
        await eventually(
          () => figure('halley_comet_busy_outboxes'),
          (count) => count === 0,
        ),
      ).toBe(0);
      await stage.pushRoom(op, room, 'again');
      await eventually(
        () => bodies(client).at(-1),
        (last) => last === 'again',
      );
      const received = bodies(client);
      expect(received.at(-1)).toBe('again');
      const numbers = received.slice(0, -1).map((body) => PUSHES.indexOf(body));
      expect(numbers).toEqual([...new Set(numbers)].toSorted((a, b) => a - b));
      expect(numbers).not.toContain(-1);
      expect(numbers).toHaveLength(pushed - missing);
      expect(client.isClosed).toBe(false);
    },
    90_000,
  );

  function halley(): StartedHalley {
    if (!started) throw new Error('the product did not start');
    return started;
  }
});
