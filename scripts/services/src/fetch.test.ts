import { createHash } from 'node:crypto';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import os from 'node:os';
import path from 'node:path';
import { afterEach, beforeEach, describe, expect, test } from '@jest/globals';
import { parseUris, verifyDebs } from './fetch-debs.js';
import { verifyJars } from './fetch-jars.js';
import { DEBS, JARS, recordedChecksums } from './pins.js';
import { javaMajor, requireLinuxX64 } from './requirements.js';

let folder: string;

beforeEach(async () => {
  folder = await mkdtemp(path.join(os.tmpdir(), 'halley-fetch-'));
});

afterEach(() => rm(folder, { recursive: true }));

const sum = (text: string): string => createHash('sha256').update(text).digest('hex');

test('everything that is fetched has recorded checksums', () => {
  const recorded = recordedChecksums();
  for (const set of [...Object.values(JARS), ...Object.values(DEBS)]) {
    expect(Object.keys(recorded[set.folder] ?? {})).not.toEqual([]);
  }
});

describe('jars', () => {
  test('exactly the recorded ones are accepted', async () => {
    await writeFile(path.join(folder, 'a.jar'), 'a');
    await expect(verifyJars(folder, { 'a.jar': sum('a') })).resolves.toBeUndefined();
    await expect(verifyJars(folder, { 'a.jar': sum('b') })).rejects.toThrow('a.jar has the checksum');
    await expect(verifyJars(folder, { 'a.jar': sum('a'), 'b.jar': sum('b') })).rejects.toThrow(
      'b.jar was not fetched',
    );
    await expect(verifyJars(folder, {})).rejects.toThrow('a.jar has no recorded checksum');
  });
});

describe('Debian packages', () => {
  test('the names and checksums of apt are read', () => {
    const line = `'http://deb.debian.org/pool/r/redis-tools_7.0.15-1%7edeb12u10_amd64.deb' redis-tools_5%3a7.0.15-1~deb12u10_amd64.deb 991988 SHA256:${'ab'.repeat(32)}`;
    expect(parseUris(`${line}\nnonsense\n`)).toEqual([
      { file: 'redis-tools_5%3a7.0.15-1~deb12u10_amd64.deb', sha256: 'ab'.repeat(32) },
    ]);
  });

  test('a recorded version must have the recorded checksum, a newer one that of the index', async () => {
    await writeFile(path.join(folder, 'a_1.deb'), 'a');
    const deb = { file: 'a_1.deb', sha256: sum('a') };
    await expect(verifyDebs(folder, [deb], {})).resolves.toBeUndefined();
    await expect(verifyDebs(folder, [deb], { 'a_1.deb': sum('a') })).resolves.toBeUndefined();
    await expect(verifyDebs(folder, [deb], { 'a_1.deb': sum('b') })).rejects.toThrow('not used');
    await expect(verifyDebs(folder, [{ ...deb, sha256: sum('b') }], {})).rejects.toThrow('not used');
  });
});

test('the major version of Java is read, also of the old numbering', () => {
  expect(javaMajor('openjdk version "17.0.15" 2025-04-15')).toBe(17);
  expect(javaMajor('java version "1.8.0_402"')).toBe(8);
  expect(javaMajor('no version')).toBeUndefined();
});

test('another platform is refused in one line', () => {
  expect(() => requireLinuxX64('linux', 'x64')).not.toThrow();
  expect(() => requireLinuxX64('darwin', 'arm64')).toThrow(/^The real services run on Linux x64 only.*$/);
});
