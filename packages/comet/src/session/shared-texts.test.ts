import { expect, test } from '@jest/globals';

import { RoomGrants } from './room-grants.js';
import { SharedTexts } from './shared-texts.js';

test('equal texts are one text; long ones are left as they are', () => {
  const texts = new SharedTexts();
  expect(texts.of('epoch')).toBe('epoch');
  expect(texts.of(['epo', 'ch'].join(''))).toBe('epoch');
  const long = 'x'.repeat(10_000);
  expect(texts.of(long)).toBe(long);
  for (let index = 0; index < 10_000; index += 1) expect(texts.of(`${index}`)).toBe(`${index}`);
});

test('connections with equal grants share one answer, others do not', () => {
  const grants = new RoomGrants();
  const of = (...roomGrants: string[]) => grants.of({ anyRoom: false, roomGrants });
  expect(of('a', 'b')).toBe(of('a', 'b'));
  expect(of('a', 'b')).not.toBe(of('a'));
  expect(of('a')('a' as never)).toBe(true);
  expect(of('a')('b' as never)).toBe(false);
  expect(of()('a' as never)).toBe(false);
  expect(grants.of({ anyRoom: true, roomGrants: [] })('a' as never)).toBe(true);
});
