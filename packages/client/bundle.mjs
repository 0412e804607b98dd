// Makes the one file for browsers, dist/halley-client.js, and prints its size. With protocol in it, it needs nothing else.
import { mkdirSync, writeFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { gzipSync } from 'node:zlib';

import { build } from 'esbuild';

const at = (path) => fileURLToPath(new URL(path, import.meta.url));

/**
 * Of protocol's errors only the class is needed: their table has the words of docs/errors.md, for operators, and would be an
 * eighth of the bundle. In it an error without words of its own is told by its code.
 */
const withoutErrorTable = {
  name: 'without the table of errors',
  setup({ onLoad }) {
    onLoad({ filter: /protocol[\\/]src[\\/]error\.ts$/ }, () => ({
      loader: 'ts',
      contents: `
        export class HalleyError extends Error {
          readonly code: string;
          constructor(code: string, message = code, { cause }: { cause?: unknown } = {}) {
            super(message, { cause });
            this.code = code;
          }
          static from(thrown: unknown): HalleyError {
            return thrown instanceof HalleyError ? thrown : new HalleyError('internal', undefined, { cause: thrown });
          }
        }`,
    }));
  },
};

/** The text of the bundle, made from the sources. */
export async function bundle() {
  const { outputFiles } = await build({
    entryPoints: [at('src/browser.ts')],
    alias: { '@halley/protocol': at('../protocol/src') },
    bundle: true,
    minify: true,
    format: 'esm',
    platform: 'browser',
    target: 'es2022',
    write: false,
    logLevel: 'error',
    plugins: [withoutErrorTable],
  });
  return outputFiles[0].text;
}

/** Its size as a server would send it. */
export function gzippedBytes(text) {
  return gzipSync(text, { level: 9 }).length;
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  const text = await bundle();
  mkdirSync(at('dist'), { recursive: true });
  writeFileSync(at('dist/halley-client.js'), text);
  process.stdout.write(`${text.length} bytes, ${gzippedBytes(text)} gzipped\n`);
}
