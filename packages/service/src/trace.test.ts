import { expect, test } from '@jest/globals';

import { currentTrace, newTrace, parseTrace, withTrace } from './trace.js';

test('a trace is current in what it runs, across awaits, and nowhere else', async () => {
  const trace = newTrace();
  await withTrace(trace, async () => {
    await Promise.resolve();
    expect(currentTrace()).toBe(trace);
    withTrace(undefined, () => expect(currentTrace()).toBeUndefined());
  });
  expect(currentTrace()).toBeUndefined();
});

test('only what is a valid traceparent is taken from outside', () => {
  const trace = newTrace();
  expect(parseTrace(trace)).toBe(trace);
  expect(parseTrace(undefined)).toBeUndefined();
  expect(parseTrace('00-00000000000000000000000000000000-0000000000000000-01')).toBeUndefined();
  expect(parseTrace(`${trace}-more`)).toBeUndefined();
});
