import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';

import { afterEach, beforeEach, expect, test } from '@jest/globals';

import { lockDataFolder } from './data-lock.js';

let parent = '';
beforeEach(async () => {
  parent = await mkdtemp(join(tmpdir(), 'lock-'));
});
afterEach(() => rm(parent, { recursive: true }));

test('a folder is made when it is missing and belongs to one at a time', async () => {
  const folder = join(parent, 'a', 'b');
  const lock = await lockDataFolder(folder);
  expect(lock.folder).toBe(folder);
  await expect(lockDataFolder(folder)).rejects.toMatchObject({
    code: 'bad_config',
    message: expect.stringMatching(
      new RegExp(
        `^data folder ${folder} is in use by pid ${process.pid} \\(.+\\); stop it, or choose another with --data-dir$`,
      ),
    ),
  });
  await lock.release();
  const next = await lockDataFolder(folder);
  await next.release();
});

test('of many that make the same missing folders at once, one gets the folder', async () => {
  const folder = join(parent, 'a', 'b', 'c');
  const results = await Promise.allSettled(Array.from({ length: 8 }, () => lockDataFolder(folder)));
  expect(results.filter(({ status }) => status === 'fulfilled')).toHaveLength(1);
});

test('a folder below a file is refused', async () => {
  await writeFile(join(parent, 'file'), '');
  for (const folder of [join(parent, 'file'), join(parent, 'file', 'a')])
    await expect(lockDataFolder(folder)).rejects.toThrow(
      `data folder ${folder} cannot be made; choose another with --data-dir`,
    );
});

const onLinux = process.platform === 'linux' ? test : test.skip;
onLinux.each(['/proc/halley', '/proc/halley/data'])('%s cannot be made, which is told', async (folder) => {
  await expect(lockDataFolder(folder)).rejects.toMatchObject({
    code: 'bad_config',
    message: `data folder ${folder} cannot be made; choose another with --data-dir`,
  });
});

test('the lock of a process that is gone is taken over', async () => {
  await writeFile(join(parent, 'lock'), JSON.stringify({ pid: 2 ** 22 + 1 }));
  const lock = await lockDataFolder(parent);
  expect(JSON.parse(await readFile(join(parent, 'lock'), 'utf8'))).toMatchObject({ pid: process.pid });
  await lock.release();
});

test('a pid that another process has got since is no holder', async () => {
  await writeFile(join(parent, 'lock'), JSON.stringify({ pid: process.pid, startedAt: 'earlier' }));
  const lock = await lockDataFolder(parent);
  expect(lock.folder).toBe(parent);
  await lock.release();
});

onLinux(
  'the lock of a process that was killed is taken over although its parent takes no notice',
  async () => {
    const parentProcess = spawn('sh', ['-c', 'sleep 60 & echo $!; exec sleep 60'], {
      stdio: ['ignore', 'pipe', 'ignore'],
    });
    try {
      const [line] = (await once(parentProcess.stdout, 'data')) as [Buffer];
      const pid = Number(line.toString());
      await writeFile(join(parent, 'lock'), JSON.stringify({ pid }));
      await expect(lockDataFolder(parent)).rejects.toMatchObject({ code: 'bad_config' });
      process.kill(pid, 'SIGKILL');
      const stateOf = async () => (await readFile(`/proc/${pid}/stat`, 'utf8')).split(') ')[1]?.[0];
      while ((await stateOf()) !== 'Z') await sleep(5);
      const lock = await lockDataFolder(parent);
      await lock.release();
    } finally {
      parentProcess.kill('SIGKILL');
    }
  },
);

test('a lock that is not readable as one is taken over', async () => {
  await writeFile(join(parent, 'lock'), 'nonsense');
  const lock = await lockDataFolder(parent);
  expect(lock.folder).toBe(parent);
  await lock.release();
});

test('of many that start at once, one gets the folder', async () => {
  await writeFile(join(parent, 'lock'), JSON.stringify({ pid: 2 ** 22 + 1 }));
  const results = await Promise.allSettled(Array.from({ length: 8 }, () => lockDataFolder(parent)));
  expect(results.filter(({ status }) => status === 'fulfilled')).toHaveLength(1);
});

test('releasing leaves the lock of a later holder alone', async () => {
  const lock = await lockDataFolder(parent);
  await writeFile(join(parent, 'lock'), 'of another');
  await lock.release();
  expect(await readFile(join(parent, 'lock'), 'utf8')).toBe('of another');
});
