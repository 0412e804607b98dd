import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

import { expect, test } from '@jest/globals';

import { deadLettersContract } from './contract.js';
import { EmbeddedDeadLetters } from './embedded.js';

deadLettersContract('the embedded file', async () => {
  const dataDir = await mkdtemp(join(tmpdir(), 'halley-dead-'));
  const dead = new EmbeddedDeadLetters({ dataDir });
  await dead.start();
  return {
    dead,
    close: async () => {
      await dead.stop();
      await rm(dataDir, { recursive: true });
    },
  };
});

test('dead letters that are not open say so', async () => {
  const dead = new EmbeddedDeadLetters({ dataDir: '/nowhere' });
  await expect(dead.get('1')).rejects.toMatchObject({ code: 'store_unavailable' });
});
