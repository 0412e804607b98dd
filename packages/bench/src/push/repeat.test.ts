import { expect, test } from '@jest/globals';

import { Random } from '../random.js';
import type { Answer, Push, Pusher } from './pusher.js';
import { type Pushed, pushUntilKnown } from './repeat.js';

const PUSH: Push = { target: { everyone: true }, operation: 1_000, body: 'b', id: 'i' };

/** Pushers that answer in turn with what they are told, whichever is asked. */
function asked(outcomes: Answer['outcome'][], takesIds = true): { pushers: Pusher[]; ids: string[] } {
  const ids: string[] = [];
  const pusher = (name: string): Pusher => ({
    name,
    takesIds,
    push: async ({ id }) => {
      ids.push(id);
      const outcome = outcomes.shift() ?? 'ok';
      return { outcome, why: outcome === 'ok' ? '' : outcome };
    },
    close: () => undefined,
  });
  return { pushers: ['a', 'b'].map(pusher), ids };
}

function push(pushers: readonly Pusher[], signal = new AbortController().signal): Promise<Pushed> {
  return pushUntilKnown(PUSH, { pushers, random: new Random(1), timeoutMs: 1_000, signal });
}

test('what is unknown is repeated with the same id until it is OK', async () => {
  const { pushers, ids } = asked(['unknown', 'unknown', 'ok']);
  expect(await push(pushers)).toMatchObject({ outcome: 'ok', attempts: 3 });
  expect(ids).toEqual(['i', 'i', 'i']);
});

test('what is refused at once is refused; what was unknown before stays in doubt and is repeated', async () => {
  expect(await push(asked(['refused']).pushers)).toMatchObject({ outcome: 'refused', attempts: 1 });
  expect(await push(asked(['unknown', 'refused', 'ok']).pushers)).toMatchObject({
    outcome: 'ok',
    attempts: 3,
  });
});

test('a logic that cannot be connected to was sent nothing: the next is asked, and without any it is refused', async () => {
  expect(await push(asked(['unreached', 'ok']).pushers)).toMatchObject({ outcome: 'ok', attempts: 1 });
  expect(await push(asked(['unreached', 'unreached']).pushers)).toEqual({
    outcome: 'refused',
    attempts: 0,
    via: 'none',
    why: 'no logic takes connections',
  });
});

test('without an id it stays unknown, and so it does when there is no more time', async () => {
  expect(await push(asked(['unknown', 'ok'], false).pushers)).toMatchObject({
    outcome: 'unknown',
    attempts: 1,
  });
  expect(await push(asked(['unknown', 'ok']).pushers, AbortSignal.abort())).toMatchObject({
    outcome: 'unknown',
    attempts: 1,
  });
});
