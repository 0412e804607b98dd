import { mkdtemp, readdir, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

import { RequirementError } from '@halley/services/requirements';
import { afterEach, beforeEach, expect, test } from '@jest/globals';

import { LocalCluster } from './local-cluster.js';

let parent = '';
const { JAVA_HOME } = process.env;
beforeEach(async () => {
  parent = await mkdtemp(join(tmpdir(), 'halley-cluster-'));
});
afterEach(async () => {
  if (JAVA_HOME === undefined) delete process.env['JAVA_HOME'];
  else process.env['JAVA_HOME'] = JAVA_HOME;
  await rm(parent, { recursive: true });
});

test('without what the services need nothing is made and nothing is said to be starting', async () => {
  process.env['JAVA_HOME'] = join(parent, 'none');
  const said: string[] = [];
  const cluster = new LocalCluster({
    dir: join(parent, '.halley'),
    portOffset: 0,
    nodes: { comet: 2, logic: 2, job: 2 },
    say: (line) => said.push(line),
  });
  await expect(cluster.start()).rejects.toThrow(RequirementError);
  await cluster.stop(1_000);
  expect(said).toEqual([]);
  expect(await readdir(parent)).toEqual([]);
});
