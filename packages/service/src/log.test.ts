import { expect, test } from '@jest/globals';

import { PrettyStream } from './log-pretty.js';

function pretty(line: string, colours = false): string {
  let out = '';
  new PrettyStream({ write: (text: string) => (out += text) }, colours).write(line);
  return out;
}

test('a line for people has the time, the level, the message and the fields', () => {
  const line = JSON.stringify({
    level: 'info',
    time: '2026-01-02T03:04:05.678Z',
    tier: 'comet',
    msg: 'ready',
    n: 1,
  });
  expect(pretty(line)).toBe('03:04:05.678 info  ready tier=comet n=1\n');
});

test('an error shows its message and stack', () => {
  const err = { message: 'no luck', stack: 'Error: no luck\n    at here' };
  const line = JSON.stringify({ level: 'error', time: '2026-01-02T03:04:05.678Z', msg: 'failed', err });
  expect(pretty(line)).toBe('03:04:05.678 error failed — no luck \n    at here\n');
});

test('colours are there only when asked for', () => {
  const line = JSON.stringify({ level: 'warn', msg: 'x' });
  expect(pretty(line)).not.toContain('\u001b');
});

test('what is no JSON passes as it is', () => {
  expect(pretty('plain\n')).toBe('plain\n');
});
