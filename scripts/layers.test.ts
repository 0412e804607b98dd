import { execFile } from 'node:child_process';
import { copyFile, mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { createRequire } from 'node:module';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { fileURLToPath } from 'node:url';

import { afterAll, beforeAll, expect, test } from '@jest/globals';

/** The layer rules of .oxlintrc.json, on files that break them: the file, and what it imports. */
const FORBIDDEN: readonly (readonly [string, string])[] = [
  ['packages/protocol/src/a.ts', 'node:fs'],
  ['packages/protocol/src/b.ts', 'node:fs/promises'],
  ['packages/protocol/src/c.ts', 'fs'],
  ['packages/protocol/src/d.ts', 'zod'],
  ['packages/protocol/src/e.ts', '@halley/service/log'],
  ['packages/protocol/src/e.test.ts', '@halley/service/log'],
  ['packages/client/src/a.ts', '@halley/service/log'],
  ['packages/client/src/streams/a.ts', 'node:fs'],
  ['packages/client/src/b.ts', 'ws'],
  ['packages/client/src/node.ts', 'ws'],
  ['packages/client/src/c.ts', '../../protocol/src/error.js'],
  ['packages/client/src/c.test.ts', '@halley/comet/app'],
  ['packages/console/src/a.ts', '@halley/service/log'],
  ['packages/console/src/view/a.ts', 'node:fs'],
  ['packages/console/src/b.test.ts', '@halley/comet/app'],
  ['packages/service/src/a.ts', '@halley/cluster'],
  ['packages/service/src/b.ts', '@halley/cluster/grpc/gen/goim/comet/Comet'],
  ['packages/service/src/deep/down/c.ts', '../../../../protocol/src/error.js'],
  ['packages/service/src/d.ts', 'kafkajs'],
  ['packages/cluster/src/a.ts', '@halley/store/bus/bus'],
  ['packages/cluster/src/grpc/b.ts', '@halley/comet/session/deep/session'],
  ['packages/cluster/src/grpc/c.ts', 'node-zookeeper-client'],
  ['packages/cluster/src/registry/zookeeper-d.ts', 'ioredis'],
  ['packages/store/src/a.ts', '@halley/cluster/grpc/protos'],
  ['packages/store/src/b.ts', '@halley/logic/push/accept'],
  ['packages/store/src/bus/embedded-c.ts', 'kafkajs'],
  ['packages/store/src/bus/kafka-d.ts', 'lmdb'],
  ['packages/store/src/routes/e.ts', 'ioredis'],
  ['packages/store/src/archive/e.ts', 'mysql2'],
  ['packages/store/src/routes/f.ts', 'kysely'],
  ['packages/store/src/reads/f.ts', 'kysely'],
  ['packages/store/src/routes/redis/f.ts', 'kafkajs/src/deep'],
  ['packages/comet/src/a.ts', '@halley/logic/app'],
  ['packages/comet/src/session/b.ts', '../../../job/src/app.js'],
  ['packages/comet/src/session/c.ts', '../../../job/dist/app.js'],
  ['packages/comet/src/d.ts', '@halley/cluster/registry/zookeeper'],
  ['packages/comet/src/app.ts', '@halley/job/consume/deep/er'],
  ['packages/logic/src/a.ts', '@halley/store/routes/redis/connection'],
  ['packages/logic/src/api/b.ts', '@halley/job/config'],
  ['packages/logic/src/app.ts', 'kafkajs'],
  ['packages/job/src/a.ts', '@halley/store/bus/kafka'],
  ['packages/job/src/b.ts', '@halley/services/kafka'],
  ['packages/job/src/app.ts', '@halley/comet/app'],
  ['packages/cli/src/start/a.ts', '../../../store/src/bus/embedded.js'],
  ['packages/cli/src/b.ts', 'ioredis'],
  ['scripts/services/src/a.ts', '@halley/service/log'],
];

const ALLOWED: readonly (readonly [string, string])[] = [
  ['packages/protocol/src/good.ts', './error.js'],
  ['packages/protocol/src/good.test.ts', 'node:fs'],
  ['packages/client/src/good.ts', '@halley/protocol/error'],
  ['packages/client/src/streams/good.ts', '../clock.js'],
  ['packages/client/src/stores/file.ts', 'node:fs/promises'],
  ['packages/client/src/testing/good.ts', 'node:zlib'],
  ['packages/console/src/good.ts', '@halley/client/browser'],
  ['packages/console/src/view/good.ts', '../model/names.js'],
  ['packages/service/src/good.ts', '@halley/protocol/error'],
  ['packages/cluster/src/good.ts', '@halley/service/log'],
  ['packages/cluster/src/registry/zookeeper-good.ts', 'node-zookeeper-client'],
  ['packages/store/src/good.ts', '@halley/protocol/error'],
  ['packages/store/src/bus/kafka-good.ts', 'kafkajs'],
  ['packages/store/src/routes/redis/good.ts', 'ioredis'],
  ['packages/store/src/redis/good.ts', 'ioredis'],
  ['packages/store/src/archive/mariadb/good.ts', 'kysely'],
  ['packages/store/src/reads/mariadb.ts', 'kysely'],
  ['packages/store/src/embedded-good.ts', 'lmdb'],
  ['packages/logic/src/session/good.ts', '@halley/store/routes/routes'],
  ['packages/job/src/deliver/good.ts', '../consume/deep/er.js'],
  ['packages/comet/src/main.ts', './app.js'],
  ['packages/cli/src/good.ts', '@halley/comet/app'],
];

const ROOT = fileURLToPath(new URL('..', import.meta.url));
const OXLINT = path.join(
  path.dirname(createRequire(import.meta.url).resolve('oxlint/package.json')),
  'bin/oxlint',
);

let dir = '';
/** The files in which an import is refused. */
let refused: string[] = [];

beforeAll(async () => {
  dir = await mkdtemp(path.join(tmpdir(), 'halley-layers-'));
  await copyFile(path.join(ROOT, '.oxlintrc.json'), path.join(dir, '.oxlintrc.json'));
  for (const [file, from] of [...FORBIDDEN, ...ALLOWED]) {
    await mkdir(path.join(dir, path.dirname(file)), { recursive: true });
    await writeFile(path.join(dir, file), `export { it } from '${from}';\n`);
  }
  const { diagnostics } = JSON.parse(await lint()) as {
    readonly diagnostics: readonly { readonly code: string; readonly filename: string }[];
  };
  expect(new Set(diagnostics.map(({ code }) => code))).toEqual(new Set(['eslint(no-restricted-imports)']));
  refused = diagnostics.map(({ filename }) => filename);
}, 30_000);

afterAll(() => rm(dir, { recursive: true, force: true }));

/** What oxlint prints; it exits with 1 when it finds something, as it must here. */
function lint(): Promise<string> {
  return new Promise((resolve) => {
    execFile(process.execPath, [OXLINT, '--format', 'json'], { cwd: dir }, (_error, stdout) =>
      resolve(stdout),
    );
  });
}

test.each(FORBIDDEN)('%s may not import %s', (file) => {
  expect(refused).toContain(file);
});

test.each(ALLOWED)('%s may import %s', (file) => {
  expect(refused).not.toContain(file);
});
