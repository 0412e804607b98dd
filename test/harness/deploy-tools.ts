import { cp, rm } from 'node:fs/promises';
import path from 'node:path';
import { fileURLToPath } from 'node:url';

import { cachedFolder } from '@halley/services/cache';
import { lastLines, run } from '@halley/services/run';

/** Where the versions and checksums of the tools are pinned: hadolint.txt for pip, compose-check/go.sum for Go. */
const PINS = fileURLToPath(new URL('../../scripts/deploy', import.meta.url));

/** The `hadolint` that checks Dockerfiles, fetched from PyPI into the services' cache on first use. Needs Python 3. */
export async function fetchHadolint(): Promise<string> {
  const folder = await cachedFolder('hadolint-2.15.1', async (partial) => {
    const venv = path.join(partial, 'venv');
    await must('python3', ['-m', 'venv', venv]);
    const pip = ['-m', 'pip', 'install', '--quiet', '--disable-pip-version-check', '--no-deps'];
    const what = ['--require-hashes', '-r', path.join(PINS, 'hadolint.txt')];
    const target = path.join(partial, 'installed');
    await must(path.join(venv, 'bin/python'), [...pip, ...what, '--target', target]);
    await rm(venv, { recursive: true });
  });
  return path.join(folder, 'installed/bin/hadolint');
}

/** A program that loads a compose file as Docker Compose does, built in the services' cache on first use. Needs Go. */
export async function buildComposeCheck(): Promise<string> {
  const folder = await cachedFolder('compose-check-2.16.2', async (partial) => {
    const source = path.join(partial, 'source');
    await cp(path.join(PINS, 'compose-check'), source, { recursive: true });
    // Readonly: what go.sum doesn't know is refused.
    await must('go', ['build', '-mod=readonly', '-o', '../compose-check', '.'], source);
    await rm(source, { recursive: true });
  });
  return path.join(folder, 'compose-check');
}

async function must(file: string, args: readonly string[], cwd?: string): Promise<void> {
  const answer = await run(file, args, cwd === undefined ? {} : { cwd });
  if (answer === 'missing') throw new Error(`${file} is not there: install it.`);
  if (answer.code !== 0) throw new Error(`${file} ${args.join(' ')} failed:\n${lastLines(answer.output)}`);
}
