import { describe, expect, test } from '@jest/globals';

import { Sequencer, type SequencedPage } from './sequencer.js';

const page = (
  positions: readonly number[],
  through: number,
  rest: Partial<SequencedPage> = {},
): SequencedPage => ({
  entries: positions.map((position) => ({ position })),
  through,
  more: false,
  ...rest,
});

/** A sequencer that has caught up to `last`. */
function liveAt(last: number): Sequencer {
  const sequencer = new Sequencer(last);
  expect(sequencer.page(page([], last)).next).toBe('live');
  return sequencer;
}

describe('a sequencer that was opened', () => {
  test('pulls first, and sends no hint before', () => {
    const sequencer = new Sequencer(5);
    expect(sequencer.live).toBe(false);
    expect(sequencer.hint(8, 5, true)).toBe('pull');
    expect(sequencer.last).toBe(5);
    expect(sequencer.want).toBe(8);
  });

  test('is live as soon as a page covers what was hinted meanwhile', () => {
    const sequencer = new Sequencer(5);
    sequencer.hint(8, 5, true);
    expect(sequencer.page(page([6, 7], 7))).toEqual({ gap: undefined, first: 0, next: 'again' });
    expect(sequencer.page(page([8], 9))).toEqual({ gap: undefined, first: 0, next: 'live' });
    expect(sequencer.last).toBe(9);
  });

  test('at its end is live at once, and pulls when something is missing', () => {
    expect(new Sequencer(5, true).hint(8, 5, true)).toBe('send');
    expect(new Sequencer(5, true).hint(8, 6, true)).toBe('pull');
  });

  test('asks again while a page says that more remains, although nothing more was hinted', () => {
    const sequencer = new Sequencer(-1);
    expect(sequencer.page(page([1, 2], 2, { more: true })).next).toBe('again');
    expect(sequencer.live).toBe(false);
    expect(sequencer.page(page([3], 3)).next).toBe('live');
  });

  test('waits a moment when the store is behind what was hinted', () => {
    const sequencer = new Sequencer(5);
    sequencer.hint(9, 5, true);
    expect(sequencer.page(page([6], 6)).next).toBe('again');
    expect(sequencer.page(page([], 6)).next).toBe('later');
    expect(sequencer.last).toBe(6);
    expect(sequencer.page(page([9], 9)).next).toBe('live');
  });

  test('keeps a cursor that is ahead of a store which lost its last writes', () => {
    const sequencer = new Sequencer(100);
    expect(sequencer.page(page([], 50)).next).toBe('live');
    expect(sequencer.last).toBe(100);
    expect(sequencer.hint(80, 70, true)).toBe('drop');
    expect(sequencer.hint(110, 100, true)).toBe('send');
  });

  test('declares what retention took, and goes on behind it', () => {
    const sequencer = new Sequencer(5);
    expect(sequencer.page(page([40], 50, { gap: { after: 5, through: 30 } }))).toEqual({
      gap: { after: 5, through: 30 },
      first: 0,
      next: 'live',
    });
    expect(sequencer.last).toBe(50);
  });

  test('goes on behind a gap that ends above what the store has taken in again', () => {
    const sequencer = new Sequencer(5);
    sequencer.page(page([], 20, { gap: { after: 5, through: 30 } }));
    expect(sequencer.last).toBe(30);
  });
});

describe('a live sequencer', () => {
  test('sends hints whose turn it is, and drops what it had', () => {
    const sequencer = liveAt(5);
    expect(sequencer.hint(7, 5, true)).toBe('send');
    expect(sequencer.hint(7, 5, true)).toBe('drop');
    expect(sequencer.hint(6, 3, true)).toBe('drop');
    expect(sequencer.hint(9, 6, true)).toBe('send');
    expect(sequencer.last).toBe(9);
    expect(sequencer.live).toBe(true);
  });

  test('pulls when an entry may lie between', () => {
    const sequencer = liveAt(5);
    expect(sequencer.hint(9, 7, true)).toBe('pull');
    expect(sequencer.last).toBe(5);
    expect(sequencer.want).toBe(9);
    expect(sequencer.hint(7, 5, true)).toBe('pull');
    expect(sequencer.want).toBe(9);
  });

  test('pulls when the body is not there or there is no room', () => {
    const sequencer = liveAt(5);
    expect(sequencer.hint(6, 5, false)).toBe('pull');
    expect(sequencer.live).toBe(false);
    expect(sequencer.page(page([6], 6)).next).toBe('live');
  });

  test('pulls when a renewal tells a newer position, and only then', () => {
    const sequencer = liveAt(5);
    expect(sequencer.renewed(5)).toBe('drop');
    expect(sequencer.live).toBe(true);
    expect(sequencer.renewed(6)).toBe('pull');
    expect(sequencer.live).toBe(false);
    expect(sequencer.page(page([], 5)).next).toBe('later');
    expect(sequencer.page(page([6], 6)).next).toBe('live');
  });

  test('takes a late answer to an earlier read without showing anything again', () => {
    const sequencer = liveAt(5);
    sequencer.hint(7, 5, true);
    const late = page([3, 6, 7, 8], 8, { gap: { after: 1, through: 2 } });
    expect(sequencer.page(late)).toEqual({ gap: undefined, first: 3, next: 'live' });
    expect(sequencer.last).toBe(8);
    expect(sequencer.page(late)).toEqual({ gap: undefined, first: 4, next: 'live' });
    expect(sequencer.last).toBe(8);
  });

  test('starts again at the floor of another epoch', () => {
    const sequencer = liveAt(5_000);
    sequencer.hint(6_000, 5_500, true);
    sequencer.restart(-1);
    expect([sequencer.last, sequencer.want, sequencer.live]).toEqual([-1, -1, false]);
    expect(sequencer.page(page([0, 1], 1)).first).toBe(0);
  });
});

test('a sequencer that is suspected to miss something sends nothing until it has pulled', () => {
  const sequencer = liveAt(5);
  sequencer.suspect();
  expect(sequencer.hint(8, 5, true)).toBe('pull');
  expect(sequencer.page(page([6, 8], 8))).toEqual({ gap: undefined, first: 0, next: 'live' });
  sequencer.suspect();
  expect(sequencer.page(page([9], 9, { more: true })).next).toBe('again');
  expect(sequencer.page(page([], 9)).next).toBe('live');
});
