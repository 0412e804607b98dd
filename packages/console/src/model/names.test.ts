import { describe, expect, test } from '@jest/globals';

import { hueOf, initialsOf, MAX_NAME_LENGTH, midOf, roomOfTitle, tidyName, titleOfRoom } from './names.js';

describe('the user id of a name', () => {
  test('is the same whatever the case and the spaces around it', () => {
    expect(midOf(' Bob ')).toBe(midOf('bob'));
    expect(midOf('Bob  B.')).toBe(midOf('bob b.'));
    expect(midOf('Bob')).not.toBe(midOf('Alice'));
  });

  test('is exact as a number of JSON, and never the business', () => {
    for (const name of ['', 'a', 'Zoë', '李雷', 'x'.repeat(100)]) {
      const mid = midOf(name);
      expect(String(JSON.parse(mid))).toBe(mid);
      expect(Number(mid)).toBeGreaterThan(0);
      expect(Number.isSafeInteger(Number(mid))).toBe(true);
    }
  });
});

test('a name is shown without control characters, and not too long', () => {
  expect(tidyName('  Al\u0000ice\n\n B \u202e')).toBe('Al ice B');
  expect(tidyName('\u200b')).toBe('');
  expect(tidyName('a\u200db\u200d')).toBe('a b');
  expect(tidyName('x'.repeat(100))).toHaveLength(MAX_NAME_LENGTH);
});

test.each(['Zoë 👩\u200d🚀', '👩🏽\u200d🚀🎉', '❤\ufe0f\u200d🔥'])('the emoji of %s stay whole', (name) => {
  expect(tidyName(name)).toBe(name);
});

test('initials are those of the first and the last word', () => {
  expect(['alice', 'Ada de Lovelace', '李雷', '', 'Zoë 🎉', '🎉'].map(initialsOf)).toEqual([
    'A',
    'AL',
    '李',
    '?',
    'Z',
    '🎉',
  ]);
});

test('there are twelve colours', () => {
  expect([hueOf('0'), hueOf('12'), hueOf('9007199254740991')]).toEqual([0, 0, 7]);
});

test.each([
  ['Lunch plans!', 'chat://lunch-plans'],
  ['#random', 'chat://random'],
  ['Überraschung', 'chat://überraschung'],
  ['://', undefined],
  ['', undefined],
])('the room %j', (title, room) => {
  expect(roomOfTitle(title)).toBe(room);
  if (room) expect(roomOfTitle(titleOfRoom(room))).toBe(room);
});
