import { describe, expect, it } from '@jest/globals';

import { Track } from './track.js';

/** What each was, and what is missing in the end. */
function taken(...sequences: readonly number[]): [string, number] {
  const track = new Track();
  const places = sequences.map((sequence) => track.take(sequence));
  return [
    places.map(({ was }) => was[0]).join(''),
    places.reduce((missing, place) => missing + place.missing, 0),
  ];
}

describe('the track of a sender', () => {
  it('follows an order without a gap, from wherever it begins', () => {
    expect(taken(1, 2, 3)).toEqual(['nnn', 0]);
    expect(taken(900, 901)).toEqual(['nn', 0]);
  });

  it('sees what is left out', () => {
    expect(taken(1, 4, 5, 7)).toEqual(['nnnn', 3]);
    expect(taken(1, 1_000_001)).toEqual(['nn', 999_999]);
  });

  it('takes what comes late off what is missing', () => {
    expect(taken(1, 4, 2, 3, 5)).toEqual(['nnlln', 0]);
    expect(taken(1, 41, 2)).toEqual(['nnl', 38]);
    expect(taken(1, 65, 66, 3)).toEqual(['nnnl', 62]);
  });

  it('sees what comes again, near and far', () => {
    expect(taken(1, 2, 2, 1)).toEqual(['nnrr', 0]);
    expect(taken(1, 4, 2, 2)).toEqual(['nnlr', 1]);
    expect(taken(1, 65, 1)).toEqual(['nnr', 63]);
    expect(taken(1, 66, 1)).toEqual(['nnr', 64]);
    expect(taken(1, 33, 34, 1, 33)).toEqual(['nnnrr', 31]);
  });

  it('goes back to what came before its first', () => {
    expect(taken(5, 3)).toEqual(['nl', 1]);
    expect(taken(5, 3, 4)).toEqual(['nll', 0]);
  });
});
