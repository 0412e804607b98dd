import { expect, test } from '@jest/globals';

import { passwordOf } from './expire-sessions.js';

test('the password of a session is what java.util.Random draws for it', () => {
  // new Random(42).nextBytes(…) begins with nextInt() = -1170105035.
  const password = passwordOf(42n ^ 0xb3415c00n);
  expect(password.length).toBe(16);
  expect(password.readInt32LE(0)).toBe(-1_170_105_035);
  expect(password.readInt32LE(4)).toBe(234_785_527);
});
