import { readdir, rm, writeFile } from 'node:fs/promises';
import path from 'node:path';
import { cachedFolder, type Progress } from './cache.js';
import { recordedChecksums, sha256, type JarSet } from './pins.js';
import { requireJava, requireMaven } from './requirements.js';
import { lastLines, run } from './run.js';

const COPY = 'org.apache.maven.plugins:maven-dependency-plugin:3.8.1:copy-dependencies';

/** The folder with the jars of a service, fetched by Maven on first use and compared with the recorded checksums. */
export async function fetchJars(set: JarSet, progress?: Progress): Promise<string> {
  return cachedFolder(
    set.folder,
    async (folder) => {
      const started = performance.now();
      progress?.(`Fetching ${set.title} (about ${set.megabytes} MB, once)`);
      await download(set, folder);
      await verifyJars(folder, recordedChecksums()[set.folder] ?? {});
      progress?.(`Fetched ${set.title} in ${((performance.now() - started) / 1000).toFixed(1)} s`);
    },
    progress ? { progress } : {},
  );
}

/** Resolves and copies the jars into `folder`, unverified. */
export async function download(set: JarSet, folder: string): Promise<void> {
  await requireJava();
  const maven = await requireMaven();
  const pom = path.join(folder, 'pom.xml');
  await writeFile(pom, project(set.coordinates));
  const answer = await run(maven, [
    '-q',
    '-B',
    '-f',
    pom,
    COPY,
    '-DincludeScope=runtime',
    `-DoutputDirectory=${folder}`,
  ]);
  if (answer === 'missing' || answer.code !== 0) {
    const output = answer === 'missing' ? '' : `\n${lastLines(answer.output)}`;
    throw new Error(`Maven could not fetch ${set.title}. Is the network there?${output}`);
  }
  // OpenSSL for Netty, ten megabytes for each platform, and not needed without TLS.
  for (const file of await readdir(folder)) {
    if (file.startsWith('netty-tcnative-boringssl')) await rm(path.join(folder, file));
  }
}

/** Throws unless the jars in `folder` are exactly the recorded ones. */
export async function verifyJars(folder: string, recorded: Readonly<Record<string, string>>): Promise<void> {
  const found = new Set((await readdir(folder)).filter((file) => file.endsWith('.jar')));
  for (const [file, checksum] of Object.entries(recorded)) {
    if (!found.delete(file)) throw new Error(`${file} was not fetched: not used.`);
    const actual = await sha256(path.join(folder, file));
    if (actual !== checksum) {
      throw new Error(`${file} has the checksum ${actual} instead of the recorded ${checksum}: not used.`);
    }
  }
  for (const file of found) throw new Error(`${file} has no recorded checksum: not used.`);
}

function project(coordinates: readonly string[]): string {
  const dependencies = coordinates.map((coordinate) => {
    const [group, artifact, version] = coordinate.split(':');
    return `<dependency><groupId>${group}</groupId><artifactId>${artifact}</artifactId><version>${version}</version></dependency>`;
  });
  return (
    '<project xmlns="http://maven.apache.org/POM/4.0.0"><modelVersion>4.0.0</modelVersion>' +
    '<groupId>halley</groupId><artifactId>services</artifactId><version>1</version>' +
    `<dependencies>${dependencies.join('')}</dependencies></project>\n`
  );
}
