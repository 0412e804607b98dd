import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

import { afterEach, beforeEach, expect, test } from '@jest/globals';

import { joinArguments } from './cluster-file.js';

let file = '';
let folder = '';
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'join-'));
  file = join(folder, 'cluster.json');
});
afterEach(() => rm(folder, { recursive: true }));

test('without --join the arguments stay as they are', async () => {
  expect(await joinArguments('comet', ['--tcp.port', '1'])).toEqual({ argv: ['--tcp.port', '1'] });
});

test('--join gives what the cluster says for the tier, below what is said beside it', async () => {
  await writeFile(file, JSON.stringify({ arguments: { comet: ['--registry.servers', 'h:1'] } }));
  for (const join of [['--join', file], [`--join=${file}`]]) {
    const joined = await joinArguments('comet', [...join, '--port-offset', '200']);
    expect(joined).toEqual({ argv: ['--registry.servers', 'h:1', '--port-offset', '200'], file });
  }
});

test.each([
  ['nothing', undefined, 'cannot be read'],
  ['no JSON', '{', 'does not say how a comet joins'],
  ['another tier only', '{"arguments":{"job":[]}}', 'does not say how a comet joins'],
])('a file with %s is refused', async (_name, text, message) => {
  if (text !== undefined) await writeFile(file, text);
  await expect(joinArguments('comet', ['--join', file])).rejects.toThrow(message);
});

test('--join without a file is refused', async () => {
  await expect(joinArguments('comet', ['--join'])).rejects.toThrow('--join needs a file');
});
