import { readFileSync } from 'node:fs';

import { beforeAll, describe, expect, test } from '@jest/globals';

interface BundleScript {
  bundle(): Promise<string>;
  gzippedBytes(text: string): number;
}

/** 15 KB; the figure of the README is in 1,000 bytes. */
const MAX_GZIPPED_BYTES = 15 * 1_024;

describe('the one file for browsers', () => {
  let script: BundleScript;
  let text = '';

  beforeAll(async () => {
    script = (await import(new URL('../bundle.mjs', import.meta.url).href)) as BundleScript;
    text = await script.bundle();
  });

  test('is small, and as large as its README says', () => {
    const bytes = script.gzippedBytes(text);
    expect(bytes).toBeLessThanOrEqual(MAX_GZIPPED_BYTES);
    const readme = readFileSync(new URL('../README.md', import.meta.url), 'utf8');
    const [, told] = /(\d+\.\d) KB gzipped/.exec(readme) ?? [];
    expect(Math.abs(Number(told) * 1_000 - bytes)).toBeLessThanOrEqual(100);
  });

  test('needs nothing else, and nothing of Node', () => {
    expect(text).not.toMatch(/\bimport\b|\brequire\b|node:|process\./);
  });

  test('exports what the README names', async () => {
    const module = (await import(
      `data:text/javascript;base64,${Buffer.from(text).toString('base64')}`
    )) as object;
    expect(Object.keys(module).toSorted()).toEqual([
      'ClientError',
      'createClient',
      'localStorageStore',
      'memoryStore',
      'weightedNodes',
    ]);
  });
});
