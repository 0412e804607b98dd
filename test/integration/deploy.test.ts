import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import os from 'node:os';
import path from 'node:path';
import { fileURLToPath } from 'node:url';

import { run } from '@halley/services/run';
import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';

import { buildComposeCheck, fetchHadolint } from '../harness/deploy-tools.js';

const DEPLOY = fileURLToPath(new URL('../../deploy', import.meta.url));

/** The linters that Docker's users run, on what deploy/ has; each must also find a planted fault. */
let dir = '';
beforeAll(async () => {
  dir = await mkdtemp(path.join(os.tmpdir(), 'halley-deploy-'));
});
afterAll(() => rm(dir, { recursive: true }));

interface Linted {
  readonly code: number | null;
  readonly output: string;
}

async function lint(tool: string, file: string): Promise<Linted> {
  const answer = await run(tool, [file]);
  if (answer === 'missing') throw new Error(`${tool} is not there`);
  return { code: answer.code, output: answer.output };
}

/** The file with one thing in it replaced, written elsewhere. */
async function spoilt(file: string, from: string | RegExp, to: string): Promise<string> {
  const before = await readFile(file, 'utf8');
  const after = before.replace(from, to);
  expect(after).not.toBe(before);
  const copy = path.join(dir, path.basename(file));
  await writeFile(copy, after);
  return copy;
}

describe('the Dockerfile, by hadolint,', () => {
  const file = path.join(DEPLOY, 'docker/Dockerfile');
  let hadolint = '';
  beforeAll(async () => {
    hadolint = await fetchHadolint();
  }, 120_000);

  test('has nothing to be said against', async () => {
    expect(await lint(hadolint, file)).toEqual({ code: 0, output: '' });
  });

  test('would be told of a user without a number', async () => {
    const { code, output } = await lint(hadolint, await spoilt(file, /^USER \d+$/m, 'USER node'));
    expect({ code, output }).toEqual({ code: 1, output: expect.stringContaining('DL3066') });
  });
});

describe('the compose files, by the loader of Docker Compose,', () => {
  const file = path.join(DEPLOY, 'compose.yaml');
  let composeCheck = '';
  beforeAll(async () => {
    composeCheck = await buildComposeCheck();
  }, 300_000);

  test.each(['compose.yaml', 'compose.redis.yaml'])('%s is valid', async (name) => {
    expect(await lint(composeCheck, path.join(DEPLOY, name))).toEqual({ code: 0, output: '' });
  });

  test.each([
    ['a misspelt key', /^ {4}healthcheck:$/m, '    healthchek:', /healthchek/],
    ['a dependency that there is not', 'comet-2: { condition', 'comet-3: { condition', /comet-3/],
  ])('would be refused for %s', async (_name, from, to, told) => {
    const { code, output } = await lint(composeCheck, await spoilt(file, from, to));
    expect({ code, output }).toEqual({ code: 1, output: expect.stringMatching(told) });
  });
});
