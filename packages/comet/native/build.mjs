// Builds the native send loop with the system's C compiler, from headers that come as a package: nothing is downloaded.
// It never fails an installation: where there is no compiler comet sends by Node's sockets, and says so when it starts.
import { spawnSync } from 'node:child_process';
import { mkdirSync, renameSync, rmSync } from 'node:fs';
import { createRequire } from 'node:module';
import path from 'node:path';
import { fileURLToPath } from 'node:url';

const FLAGS = [
  '-O2',
  '-std=c11',
  '-D_GNU_SOURCE',
  '-DNAPI_VERSION=8',
  '-fPIC',
  '-shared',
  '-Wall',
  '-Wextra',
];
const folder = path.dirname(fileURLToPath(import.meta.url));
const build = path.join(folder, 'build');

/** Answers why it was not built; undefined when it was. */
function compile() {
  if (process.platform !== 'linux') return `there is none for ${process.platform}`;
  const headers = createRequire(import.meta.url)('node-api-headers').include_dir;
  mkdirSync(build, { recursive: true });
  const made = path.join(build, `send.${process.pid}.node`);
  const compiler = process.env['CC'] ?? 'cc';
  const { error, status, stderr } = spawnSync(
    compiler,
    [...FLAGS, `-I${headers}`, '-o', made, path.join(folder, 'send.c')],
    { encoding: 'utf8' },
  );
  if (error) return `no C compiler (${compiler}: ${error.message})`;
  if (status !== 0) return `${compiler} failed: ${stderr.trim()}`;
  // Whoever has the one of before loaded keeps it.
  renameSync(made, path.join(build, 'send.node'));
  return undefined;
}

try {
  const reason = compile();
  if (reason !== undefined) {
    rmSync(path.join(build, 'send.node'), { force: true });
    process.stdout.write(`comet: no native send loop, ${reason}; Node's sockets do it.\n`);
  }
} catch (error) {
  process.stdout.write(`comet: no native send loop, ${String(error)}; Node's sockets do it.\n`);
}
