import { expect, test } from '@jest/globals';

import type { Outgoing, Sender, SendReply } from '../send/sender.js';
import { Lanes, type LaneReply, type LanesOptions } from './lanes.js';

/** Calls that a test answers itself. */
class HeldSender implements Sender {
  readonly name = 'held';
  readonly calls: { readonly batch: readonly string[]; answer: () => Promise<void> }[] = [];

  constructor(readonly maxBatch: number) {}

  send(batch: readonly Outgoing[]): Promise<SendReply> {
    return new Promise((resolve) => {
      this.calls.push({
        batch: batch.map(({ body }) => body.toString()),
        answer: async () => {
          resolve({ outcomes: batch.map(() => 'ok'), why: '' });
          await settled();
        },
      });
    });
  }

  close(): void {}
}

const settled = () => new Promise((resolve) => setImmediate(resolve));

function lanes(maxBatch: number, more: Partial<LanesOptions> = {}) {
  const sender = new HeldSender(maxBatch);
  const replies: LaneReply[] = [];
  const made = new Lanes({
    sender,
    lanes: 2,
    inFlight: 1,
    maxWaiting: 100,
    outgoing: ({ stream, dueNs }) => ({
      target: { kind: 'room', room: `t://${stream}` },
      body: Buffer.from(`${stream}:${dueNs}`),
    }),
    onReply: (reply) => replies.push(reply),
    ...more,
  });
  const add = (stream: number, ...dues: number[]) => {
    for (const due of dues) made.add({ stream, dueNs: BigInt(due) });
  };
  return { made, sender, replies, add };
}

test('what is due at once goes in one call, what comes meanwhile in the next', async () => {
  const { made, sender, replies, add } = lanes(10);
  add(0, 1, 2);
  await settled();
  add(0, 3, 4);
  await settled();
  expect(sender.calls.map(({ batch }) => batch)).toEqual([['0:1', '0:2']]);
  await sender.calls[0]?.answer();
  expect(sender.calls[1]?.batch).toEqual(['0:3', '0:4']);
  const idle = made.idle();
  await sender.calls[1]?.answer();
  await idle;
  expect(replies.map(({ pushes }) => pushes.length)).toEqual([2, 2]);
});

test('a stream keeps its order, another lane does not wait for it', async () => {
  const { sender, add } = lanes(1);
  add(0, 1, 2);
  add(1, 1);
  await settled();
  expect(sender.calls.map(({ batch }) => batch)).toEqual([['0:1'], ['1:1']]);
  await sender.calls[0]?.answer();
  expect(sender.calls[2]?.batch).toEqual(['0:2']);
});

test('several calls of a lane when that is asked for', async () => {
  const { sender, add } = lanes(1, { inFlight: 2 });
  add(0, 1, 2, 3);
  await settled();
  expect(sender.calls.map(({ batch }) => batch)).toEqual([['0:1'], ['0:2']]);
});

test('it is full until a call takes from what waits, and what waits can be given up', async () => {
  const { made, sender, add } = lanes(1, { maxWaiting: 2 });
  add(0, 1);
  await settled();
  add(0, 2, 3);
  const full = made.full();
  expect(full).toBeDefined();
  await sender.calls[0]?.answer();
  await full;
  expect(made.full()).toBeUndefined();
  expect(made.giveUp()).toBe(1);
  const idle = made.idle();
  await sender.calls[1]?.answer();
  await idle;
  expect(sender.calls).toHaveLength(2);
});
