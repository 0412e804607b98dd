import { execFile } from 'node:child_process';
import { createHash } from 'node:crypto';
import { mkdir, readdir, readFile, rename, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';

const SOURCES = fileURLToPath(new URL('../../native/', import.meta.url));
const FLAGS = ['-std=c11', '-O2', '-Wall', '-Wextra'];
const BUILD_TIMEOUT_MS = 60_000;

/** The native worker, or in words why there is none. */
export type NativeBuild = { readonly program: string } | { readonly why: string };

let built: Promise<NativeBuild> | undefined;

/**
 * Builds packages/bench/native with the system's `cc`, unless that was done for these sources before. Never throws. `say` is
 * given one line when it is built.
 */
export function buildNative(say: (line: string) => void = () => {}): Promise<NativeBuild> {
  built ??= build(say).catch((error: unknown) => ({ why: whyOf(error) }));
  return built;
}

async function build(say: (line: string) => void): Promise<NativeBuild> {
  const names = (await readdir(SOURCES)).filter((name) => /\.[ch]$/.test(name)).toSorted();
  const texts = await Promise.all(names.map((name) => readFile(join(SOURCES, name))));
  // Named by what it is made of: other sources are another program, and no two builds get in each other's way.
  const digest = createHash('sha256').update(FLAGS.join(' '));
  for (const text of texts) digest.update(text);
  const folder = join(SOURCES, 'build');
  const name = `load-${digest.digest('hex').slice(0, 16)}`;
  await mkdir(folder, { recursive: true });
  const there = await readdir(folder);
  if (!there.includes(name)) {
    const unfinished = join(folder, `${name}.${process.pid}`);
    const sources = names.filter((one) => one.endsWith('.c')).map((one) => join(SOURCES, one));
    await promisify(execFile)('cc', [...FLAGS, '-o', unfinished, ...sources], { timeout: BUILD_TIMEOUT_MS });
    await rename(unfinished, join(folder, name));
    const older = there.filter((one) => /^load-[0-9a-f]{16}$/.test(one));
    await Promise.all(older.map((one) => rm(join(folder, one), { force: true })));
    say('load side: built the native client with cc');
  }
  return { program: join(folder, name) };
}

function whyOf(error: unknown): string {
  const { code, stderr, message } = error as { code?: string | number; stderr?: string; message: string };
  if (code === 'ENOENT') return 'there is no cc';
  return (stderr?.trim() || message).split('\n')[0] ?? message;
}
