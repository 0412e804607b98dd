import { readFileSync } from 'node:fs';

import { describe, expect, test } from '@jest/globals';

import { CloseCode } from '@halley/protocol/close-code';
import { BODIES } from '@halley/protocol/client/bodies';
import { Operation, OperationV2 } from '@halley/protocol/operation';

import { pages } from './pages.mjs';

function read(path: string): string {
  return readFileSync(new URL(`../../${path}`, import.meta.url), 'utf8');
}

describe('generated pages are what `npm run docs` writes', () => {
  for (const [path, text] of pages()) {
    test(path, () => {
      expect(read(path)).toBe(text);
    });
  }
});

describe('pages written by hand name everything', () => {
  const closeCodes = read('docs/protocol/close-codes.md');
  test.each(Object.entries(CloseCode))('close-codes.md has %s %d', (name, code) => {
    expect(closeCodes).toMatch(new RegExp(`\\| ${code}\\s+\\| ${name}\\s+\\|`));
  });

  const operations = read('docs/protocol/operations.md');
  test.each(Object.entries(Operation))('operations.md has %s %d', (name, op) => {
    expect(operations).toMatch(new RegExp(`\\| ${op}\\s+\\| ${name}\\s+\\|`));
  });

  const version2 = read('docs/protocol/ver2.md');
  test.each(Object.entries(OperationV2))('ver2.md has %s %d, and what it carries', (name, op) => {
    const body = BODIES[op].name;
    expect(version2).toMatch(new RegExp(`\\| ${op}\\s+\\| ${name}\\s+\\| \\w+\\s+\\| \`${body}\`\\s+\\|`));
  });
});
