import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

import type { UserId } from '@halley/protocol/ids';
import { expect, test } from '@jest/globals';

import { readsContract } from './contract.js';
import { EmbeddedReads } from './embedded.js';

readsContract('the embedded file', async () => {
  const dataDir = await mkdtemp(join(tmpdir(), 'halley-reads-'));
  const reads = new EmbeddedReads({ dataDir });
  await reads.start();
  return {
    reads,
    close: async () => {
      await reads.stop();
      await rm(dataDir, { recursive: true });
    },
  };
});

test('read positions that are opened again are there, and those that are not open say so', async () => {
  const dataDir = await mkdtemp(join(tmpdir(), 'halley-reads-'));
  const reads = new EmbeddedReads({ dataDir });
  const mid = '1' as UserId;
  await expect(reads.get(mid, ['a'])).rejects.toMatchObject({ code: 'store_unavailable' });
  await reads.start();
  const marks = new Map([['a', { epoch: 'e', position: 3, atMs: 1 }]]);
  await reads.advance(mid, marks);
  await reads.stop();
  await reads.start();
  expect(await reads.get(mid, ['a'])).toEqual(marks);
  await reads.stop();
  await rm(dataDir, { recursive: true });
});
