// Makes the files for browsers and prints their sizes: dist/halley-client.js, with protocol in it, and what it loads from beside
// it only where WebSocket does not get through, dist/halley-client-fallback.js.
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { basename } from 'node:path';
import { fileURLToPath } from 'node:url';
import { gzipSync } from 'node:zlib';

import { build } from 'esbuild';

const at = (path) => fileURLToPath(new URL(path, import.meta.url));

/** `new HalleyError('code', 'words')` and `malformed('words')`, as the sources have them. */
const WORDS = /(new HalleyError\(\s*'\w+'|\bmalformed\()(?:,?\s*(?:'[^']*'|`[^`]*`),?\s*)\)/g;
/** `new Message('Name', …)`: only tests read the name. */
const NAME = /(new Message\()'\w+'/g;
/** `export const Name = { One: 1, … } as const;` */
const CONSTANTS = /^export const (\w+) = (\{[^{}]*\}) as const;/gm;

/**
 * Makes the sources smaller without a change of what they do. Of protocol's errors only the class is needed: their table has
 * the words of docs/errors.md, for operators; what exactly is wrong with bytes that are no frames is left out too, so an error
 * without words of its own is told by its code. Names of messages go, and constants become enums: esbuild writes their values
 * where they are used.
 */
const smaller = {
  name: 'smaller sources',
  setup({ onLoad }) {
    onLoad({ filter: /protocol[\\/]src[\\/].*\.ts$/ }, ({ path }) => ({
      loader: 'ts',
      contents: smallerText(path, readFileSync(path, 'utf8')),
    }));
  },
};

function smallerText(path, text) {
  const file = basename(path, '.ts');
  if (file === 'error') return ERROR;
  const plain = text.replace(WORDS, '$1)').replace(NAME, "$1''");
  // The names of close codes are told.
  if (file === 'close-code') return plain;
  return plain.replace(
    CONSTANTS,
    (_, name, fields) => `export enum ${name} ${fields.replace(/: (-?\d)/g, ' = $1')}`,
  );
}

const ERROR = `
  export class HalleyError extends Error {
    readonly code: string;
    constructor(code: string, message = code, { cause }: { cause?: unknown } = {}) {
      super(message, { cause });
      this.code = code;
    }
    static from(thrown: unknown): HalleyError {
      return thrown instanceof HalleyError ? thrown : new HalleyError('internal', undefined, { cause: thrown });
    }
  }`;

/** The texts of the files by their names, the one that pages load first. */
export async function bundleFiles() {
  const { outputFiles } = await build({
    entryPoints: { 'halley-client': at('src/browser.ts'), 'halley-client-fallback': at('src/fallback.ts') },
    alias: { '@halley/protocol': at('../protocol/src') },
    bundle: true,
    splitting: true,
    minify: true,
    format: 'esm',
    platform: 'browser',
    target: 'es2022',
    outdir: at('dist'),
    write: false,
    logLevel: 'error',
    plugins: [smaller],
  });
  return new Map(outputFiles.map(({ path, text }) => [basename(path), text]));
}

/** The text of the file that pages load. */
export async function bundle() {
  return (await bundleFiles()).get('halley-client.js');
}

/** Its size as a server would send it. */
export function gzippedBytes(text) {
  return gzipSync(text, { level: 9 }).length;
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  mkdirSync(at('dist'), { recursive: true });
  for (const [name, text] of await bundleFiles()) {
    writeFileSync(at(`dist/${name}`), text);
    process.stdout.write(`${name}: ${text.length} bytes, ${gzippedBytes(text)} gzipped\n`);
  }
}
