import { readFileSync } from 'node:fs';

import { describe, expect, test } from '@jest/globals';

interface Locked {
  readonly version?: string;
  readonly integrity?: string;
  readonly link?: boolean;
  readonly optional?: boolean;
  readonly engines?: { readonly node?: string } | readonly string[];
  readonly optionalDependencies?: Readonly<Record<string, string>>;
}

const { packages } = JSON.parse(readFileSync(new URL('../package-lock.json', import.meta.url), 'utf8')) as {
  readonly packages: Readonly<Record<string, Locked>>;
};

// npm leaves out the builds for other platforms that its registry does not have, and `npm ci` then refuses the file.
test('package-lock.json has every optional dependency, of every platform', () => {
  const missing = Object.entries(packages).flatMap(([path, { optionalDependencies = {} }]) =>
    Object.keys(optionalDependencies).filter(
      (name) => !packages[`node_modules/${name}`] && !packages[`${path}/node_modules/${name}`],
    ),
  );
  expect(missing).toEqual([]);
});

// Builds for other platforms that npm's registry does not have stand there without a digest.
test('package-lock.json has the digest of every package, and names no registry', () => {
  const fetched = Object.entries(packages).filter(
    ([path, { link }]) => path.includes('node_modules/') && !link,
  );
  const bare = fetched.filter(
    ([, { integrity, optional }]) => !integrity?.startsWith('sha512-') && !optional,
  );
  expect(bare.map(([path]) => path)).toEqual([]);
  expect(fetched.filter(([, locked]) => 'resolved' in locked).map(([path]) => path)).toEqual([]);
});

describe('the oldest Node.js that we support', () => {
  /** Whether a range as `^18 || >=20.1` takes 20.19: some part of it begins below, and ends in a major or not at all. */
  const takesNode20 = (range: string): boolean =>
    range.split('||').some((part) => {
      const [, operator = '', major = 0, minor = 0] = /^\s*(>=|\^|~)?\s*(\d+)(?:\.(\d+))?/.exec(part) ?? [];
      const begins = Number(major) < 20 || (Number(major) === 20 && Number(minor) <= 19);
      return begins && (operator === '>=' || Number(major) === 20);
    });

  test.each([
    ['>=18', true],
    ['>=20.19', true],
    ['^18.14.0 || ^20.0.0 || >=24', true],
    ['18 || 20 || >=22', true],
    ['>=22', false],
    ['>=20.20', false],
    ['^18.0.0 || >=22', false],
  ])('is told from ranges: %s', (range, taken) => {
    expect(takesNode20(range)).toBe(taken);
  });

  // Else `npm ci` warns of an unsupported engine.
  test('is taken by every locked package', () => {
    const refusing = Object.entries(packages).filter(([, { engines }]) => {
      const node = engines && 'node' in engines ? engines.node : undefined;
      return node !== undefined && !takesNode20(node);
    });
    expect(refusing.map(([path]) => path)).toEqual([]);
  });
});
