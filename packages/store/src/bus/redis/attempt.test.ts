import { HalleyError } from '@halley/protocol/error';
import { expect, test } from '@jest/globals';

import { readAnswer, readFailure } from './attempt.js';

function kindOf(message: string): string {
  return readFailure(new HalleyError('store_unavailable', undefined, { cause: new Error(message) })).kind;
}

test.each([
  "OOM command not allowed when used memory > 'maxmemory'. script: 5f2, on @user_script:1.",
  "READONLY You can't write against a read only replica. script: 5f2, on @user_script:1.",
  '-READONLY You can’t write against a read only replica.',
  'NOREPLICAS Not enough good replicas to write.',
  'MISCONF Errors writing to the AOF file: No space left on device',
  'LOADING Redis is loading the dataset in memory',
  'CLUSTERDOWN The cluster is down',
  'MASTERDOWN Link with MASTER is down and replica-serve-stale-data is set to no.',
  "Stream isn't writeable and enableOfflineQueue options is false",
])('nothing was written: %s', (message) => {
  expect(kindOf(message)).toBe('rejected');
});

test.each(['Command timed out', 'Connection is closed.', 'read ECONNRESET', 'something new'])(
  'it may be written: %s',
  (message) => {
    expect(kindOf(message)).toBe('ambiguous');
  },
);

test('the script tells what became of the records', () => {
  expect(readAnswer(['written', '17'], 1)).toEqual({ kind: 'written', base: 17, replicas: 1 });
  expect(readAnswer(['full'], 0)).toEqual({ kind: 'full' });
  expect(readAnswer(['lost'], 0)).toEqual({ kind: 'lost' });
  expect(readAnswer(['stale'], 0).kind).toBe('ambiguous');
});
