import { readFileSync } from 'node:fs';

import { beforeAll, describe, expect, test } from '@jest/globals';

interface BundleScript {
  bundleFiles(): Promise<ReadonlyMap<string, string>>;
  gzippedBytes(text: string): number;
}

/** 15 KB; the figures of the README are in 1,000 bytes. */
const MAX_GZIPPED_BYTES = 15 * 1_024;
const LOADED_LATER = 'halley-client-fallback.js';

describe('the file for browsers', () => {
  let script: BundleScript;
  let text = '';
  let fallback = '';

  beforeAll(async () => {
    script = (await import(new URL('../bundle.mjs', import.meta.url).href)) as BundleScript;
    const files = await script.bundleFiles();
    expect([...files.keys()]).toEqual(['halley-client.js', LOADED_LATER]);
    [text = '', fallback = ''] = files.values();
  });

  test('is small, and both files are as large as the README says', () => {
    const bytes = [text, fallback].map((file) => script.gzippedBytes(file));
    expect(bytes[0]).toBeLessThanOrEqual(MAX_GZIPPED_BYTES);
    const readme = readFileSync(new URL('../README.md', import.meta.url), 'utf8');
    const told = [...readme.matchAll(/(\d+\.\d) KB gzipped/g)].map(([, kb]) => Number(kb) * 1_000);
    expect(told).toHaveLength(2);
    expect(told.map((kb, index) => Math.abs(kb - (bytes[index] ?? 0)) <= 100)).toEqual([true, true]);
  });

  test('needs nothing else, and nothing of Node, but the other file where WebSocket does not get through', () => {
    const [alone, ...imports] = text.split(`import("./${LOADED_LATER}")`);
    expect(imports).toHaveLength(1);
    for (const part of [alone, ...imports, fallback]) {
      expect(part).not.toMatch(/\bimport\b|\brequire\b|node:|process\./);
    }
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
