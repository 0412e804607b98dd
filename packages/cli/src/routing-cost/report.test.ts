import { beforeAll, expect, test } from '@jest/globals';

import { routingCost } from './report.js';
import type { Cost } from './shapes.js';

let costs: readonly Cost[];
let table: string;
beforeAll(async () => {
  ({ costs, table } = await routingCost());
});

function cost(shape: string): Cost {
  const found = costs.find((one) => one.shape === shape);
  if (!found) throw new Error(`no shape ${shape}`);
  return found;
}

test.each([
  ['a message to a room on 3 comets', 3, 300],
  ['a message to a durable room on 3 comets', 3, 300],
  ['a message to a room that nobody is in', 0, 300],
  ['a message to a room on all comets', 300, 300],
  ['a message to a user with 2 devices', 2, 2],
  ['a message to everyone', 300, 300],
])('of 300 comets, %s is sent to %i; goim sends it to %i', (shape, here, withGoim) => {
  const { halley, goim } = cost(shape);
  expect(halley).toMatchObject({ comets: here, messages: here });
  expect(goim).toMatchObject({ comets: withGoim, messages: withGoim });
});

test('what is pushed to a room together travels together, to its 3 comets', () => {
  const { halley, goim } = cost('1,000 messages at once to that room');
  // 256 in a message.
  expect(halley).toMatchObject({ comets: 3, messages: 3 * 4 });
  // 20 in a message.
  expect(goim).toMatchObject({ comets: 300, messages: 300 * 50 });
});

test('the stores are asked for a batch of a partition, not for each push', () => {
  const { halley, goim } = cost('1,000 messages, each to another such user');
  expect(halley.storeCalls).toBeLessThanOrEqual(2 * 24);
  expect(goim.storeCalls).toBe(1_000);
});

test('the table has a row for each shape', () => {
  expect(table.split('\n')).toHaveLength(2 + costs.length);
  expect(table).toMatch(/^\| a message to a room on 3 comets +\| +3 \| +3 \|/m);
});
