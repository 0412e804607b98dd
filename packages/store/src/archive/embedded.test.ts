import { mkdtemp, rm, stat } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

import { afterAll, beforeAll, expect, test } from '@jest/globals';

import { EMBEDDED_FILE, openEmbeddedDatabase, type EmbeddedDatabase } from '../embedded-database.js';
import { archiveContract } from './contract.js';
import { freshEpoch, readAll, row, store } from './contract-fixture.js';
import { EmbeddedArchive } from './embedded.js';

let dataDir: string;
let database: EmbeddedDatabase;

beforeAll(async () => {
  dataDir = await mkdtemp(join(tmpdir(), 'halley-archive-'));
  database = await openEmbeddedDatabase(dataDir);
});
afterAll(async () => {
  await database.release();
  await rm(dataDir, { recursive: true, force: true });
});

archiveContract('the embedded file', async () => {
  const archive = new EmbeddedArchive({ dataDir });
  await archive.start();
  return {
    archive,
    storedBytes: async () => (await stat(join(dataDir, EMBEDDED_FILE))).size,
    sharedBodies: async () => database.table('archive-bodies').getKeysCount(),
  };
});

test('an archive that is opened again has what it had', async () => {
  const folder = await mkdtemp(join(tmpdir(), 'halley-archive-'));
  const epoch = freshEpoch();
  const first = new EmbeddedArchive({ dataDir: folder });
  await first.start();
  await store(first, epoch, [row('u/1', 1), row('u/1', 2)]);
  await first.stop();
  expect(first.healthy()).toBe(false);
  await expect(first.watermark(0, epoch)).rejects.toMatchObject({ code: 'store_unavailable' });
  const second = new EmbeddedArchive({ dataDir: folder });
  await second.start();
  expect(await second.watermark(0, epoch)).toBe(2);
  expect((await readAll(second, epoch, 'u/1')).map(({ position }) => position)).toEqual([1, 2]);
  await second.stop();
  await rm(folder, { recursive: true });
});
