// Makes dist: the page with its styles, and its script with the SDK in it. Files have the digest of their content in their
// names, so that browsers may keep them for good; only index.html is asked for again.
import { createHash } from 'node:crypto';
import { mkdir, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { basename, extname, join } from 'node:path';
import { fileURLToPath } from 'node:url';

import { build, transform } from 'esbuild';

const at = (path) => fileURLToPath(new URL(path, import.meta.url));
const dist = at('dist/page');

await mkdir(dist, { recursive: true });
const before = new Set(await readdir(dist));
const written = new Set();

async function write(name, content) {
  written.add(name);
  if (!before.has(name) || name === 'index.html') await writeFile(join(dist, name), content);
}

function digestName(name, content) {
  const digest = createHash('sha256').update(content).digest('hex').slice(0, 10);
  return `${basename(name, extname(name))}-${digest}${extname(name)}`;
}

const { outputFiles } = await build({
  entryPoints: [at('src/main.ts')],
  alias: { '@halley/client': at('../client/src'), '@halley/protocol': at('../protocol/src') },
  bundle: true,
  splitting: true,
  minify: true,
  format: 'esm',
  platform: 'browser',
  target: 'es2022',
  outdir: dist,
  entryNames: '[name]-[hash]',
  chunkNames: 'part-[hash]',
  write: false,
  logLevel: 'error',
});
const names = new Map();
for (const { path, contents } of outputFiles) {
  await write(basename(path), contents);
  if (basename(path).startsWith('main-')) names.set('main.js', basename(path));
}

const css = (
  await transform(await readFile(at('static/console.css'), 'utf8'), { loader: 'css', minify: true })
).code;
for (const [name, content] of [
  ['console.css', css],
  ['icon.svg', await readFile(at('static/icon.svg'), 'utf8')],
]) {
  names.set(name, digestName(name, content));
  await write(names.get(name), content);
}

const index = await readFile(at('static/index.html'), 'utf8');
await write(
  'index.html',
  index.replaceAll(/\{\{([\w.]+)\}\}/g, (_, name) => `./${names.get(name)}`),
);
for (const name of before) if (!written.has(name)) await rm(join(dist, name));
