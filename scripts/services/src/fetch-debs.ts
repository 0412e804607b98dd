import { mkdir, rm } from 'node:fs/promises';
import path from 'node:path';
import { cachedFolder, cacheRoot, type Progress } from './cache.js';
import { recordedChecksums, sha256, type Checksums, type DebSet } from './pins.js';
import { requireApt } from './requirements.js';
import { lastLines, run } from './run.js';

/** The folder with the unpacked Debian packages of a service, fetched on first use. Neither apt nor dpkg installs anything. */
export async function fetchDebs(set: DebSet, progress?: Progress): Promise<string> {
  return cachedFolder(
    set.folder,
    async (folder) => {
      const started = performance.now();
      progress?.(`Fetching ${set.title} (about ${set.megabytes} MB, once)`);
      const archives = path.join(folder, 'archives');
      await mkdir(archives);
      const debs = await downloadDebs(set, archives);
      await verifyDebs(archives, debs, recordedChecksums()[set.folder] ?? {});
      for (const deb of debs) {
        const answer = await run('dpkg', ['-x', path.join(archives, deb.file), folder]);
        if (answer === 'missing' || answer.code !== 0)
          throw new Error(`dpkg could not unpack ${deb.file} of ${set.title}.`);
      }
      await rm(archives, { recursive: true });
      progress?.(`Fetched ${set.title} in ${((performance.now() - started) / 1000).toFixed(1)} s`);
    },
    progress ? { progress } : {},
  );
}

/** A package file, with the checksum of apt's verified index. */
export interface Deb {
  readonly file: string;
  readonly sha256: string;
}

/** Downloads with the machine's package index, or, when that is missing or out of date, with a fresh one of our own. */
export async function downloadDebs(set: DebSet, folder: string): Promise<Deb[]> {
  await requireApt();
  const own = privateIndex(path.join(cacheRoot(), 'apt'));
  const tries: (readonly string[])[] = [[], own];
  let output = '';
  for (const options of tries) {
    if (options === own) {
      await mkdir(path.join(cacheRoot(), 'apt', 'lists', 'partial'), { recursive: true });
      await mkdir(path.join(cacheRoot(), 'apt', 'cache', 'archives', 'partial'), { recursive: true });
      await run('apt-get', [...options, 'update', '-qq']);
    }
    const listed = await run('apt-get', [...options, '--print-uris', 'download', ...set.packages]);
    const fetched = await run('apt-get', [...options, '-qq', 'download', ...set.packages], { cwd: folder });
    if (listed !== 'missing' && fetched !== 'missing') {
      const debs = parseUris(listed.stdout);
      if (listed.code === 0 && fetched.code === 0 && debs.length === set.packages.length) return debs;
      output = listed.code === 0 ? fetched.output : listed.output;
    }
  }
  throw new Error(
    `apt-get could not fetch ${set.title} (${set.packages.join(' ')}). It takes Debian 12's packages and the network.\n${lastLines(output)}`,
  );
}

/** apt's state in a folder of ours, which needs no root. */
function privateIndex(folder: string): readonly string[] {
  return [
    '-o',
    `Dir::State::lists=${path.join(folder, 'lists')}`,
    '-o',
    `Dir::Cache=${path.join(folder, 'cache')}`,
  ];
}

/** Reads the lines `'URI' FILE SIZE SHA256:HEX` of `apt-get --print-uris`. */
export function parseUris(output: string): Deb[] {
  const debs: Deb[] = [];
  for (const line of output.split('\n')) {
    const match = /^'[^']+' (\S+) \d+ SHA256:([0-9a-f]{64})$/.exec(line.trim());
    if (match?.[1] && match[2]) debs.push({ file: match[1], sha256: match[2] });
  }
  return debs;
}

/** Throws unless each file has the checksum of apt's index, and the recorded one where its version is recorded. */
export async function verifyDebs(
  folder: string,
  debs: readonly Deb[],
  recorded: Checksums[string],
): Promise<void> {
  for (const deb of debs) {
    const expected = recorded[deb.file] ?? deb.sha256;
    const actual = await sha256(path.join(folder, deb.file));
    if (actual !== expected || actual !== deb.sha256) {
      throw new Error(`${deb.file} has the checksum ${actual} instead of ${expected}: not used.`);
    }
  }
}
