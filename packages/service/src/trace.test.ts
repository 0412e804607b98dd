import { expect, test } from '@jest/globals';

import { newTrace, parseTrace } from './trace.js';

test('only what is a valid traceparent is taken from outside', () => {
  const trace = newTrace();
  expect(parseTrace(trace)).toBe(trace);
  expect(parseTrace(undefined)).toBeUndefined();
  expect(parseTrace('00-00000000000000000000000000000000-0000000000000000-01')).toBeUndefined();
  expect(parseTrace(`${trace}-more`)).toBeUndefined();
});
