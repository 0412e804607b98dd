import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

import { expect, test } from '@jest/globals';

import { ledgerContract, ledgerRow } from './contract.js';
import { EmbeddedLedger } from './embedded.js';

ledgerContract('the embedded file', async () => {
  const dataDir = await mkdtemp(join(tmpdir(), 'halley-ledger-'));
  const ledger = new EmbeddedLedger({ dataDir });
  await ledger.start();
  return {
    ledger,
    close: async () => {
      await ledger.stop();
      await rm(dataDir, { recursive: true });
    },
  };
});

test('a ledger that is opened again has what it had, and one that is not open says so', async () => {
  const dataDir = await mkdtemp(join(tmpdir(), 'halley-ledger-'));
  const ledger = new EmbeddedLedger({ dataDir });
  await expect(ledger.write([])).rejects.toMatchObject({ code: 'store_unavailable' });
  await ledger.start();
  await ledger.write([ledgerRow('a')]);
  await ledger.stop();
  await ledger.start();
  expect((await ledger.find('orders', 'a', 1)).all).toBe(1);
  await ledger.stop();
  await rm(dataDir, { recursive: true });
});
