import { spawnSync } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { fileURLToPath } from 'node:url';

import { afterEach, beforeEach, expect, test } from '@jest/globals';

const CHECK = fileURLToPath(new URL('check.mjs', import.meta.url));

let dir = '';
beforeEach(() => {
  dir = mkdtempSync(path.join(tmpdir(), 'halley-check-'));
});
afterEach(() => rmSync(dir, { recursive: true }));

/** Runs the checks with scripts in place of the real ones; those that are not given pass in silence. */
function check(scripts: Readonly<Record<string, string>>): { code: number | null; lines: string[] } {
  const all = {
    types: 'true',
    lint: 'true',
    'format:check': 'true',
    pretest: 'exit 9',
    test: 'echo 3 passed, 0 failed',
  };
  writeFileSync(path.join(dir, 'package.json'), JSON.stringify({ scripts: { ...all, ...scripts } }));
  const { status, stdout } = spawnSync(process.execPath, [CHECK], { cwd: dir, encoding: 'utf8' });
  return { code: status, lines: stdout.trimEnd().split('\n') };
}

test('when all is well the count of the tests is all that is said', () => {
  expect(check({})).toEqual({ code: 0, lines: ['3 passed, 0 failed'] });
});

test('a check that fails stops neither the others nor the tests, is named, and decides the exit code', () => {
  const { code, lines } = check({ types: 'echo no type; exit 3', lint: 'echo no style; exit 1' });
  expect({ code, lines }).toEqual({
    code: 3,
    lines: ['no type', 'no style', 'Failed: types, lint', '3 passed, 0 failed'],
  });
});

test('tests that fail, or end without a count, are a failure with a count', () => {
  expect(check({ test: 'echo 2 passed, 1 failed; exit 1' })).toEqual({
    code: 1,
    lines: ['2 passed, 1 failed'],
  });
  expect(check({ test: 'exit 7' })).toEqual({ code: 7, lines: ['0 passed, 1 failed'] });
});
