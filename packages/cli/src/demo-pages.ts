import { readdirSync, readFileSync } from 'node:fs';
import { extname, join } from 'node:path';
import { fileURLToPath } from 'node:url';

import type { Page, Pages } from '@halley/comet/transport/http/pages';
import { HalleyError } from '@halley/protocol/error';

const FOLDER = fileURLToPath(new URL('../../console/dist/page', import.meta.url));

const TYPES: Readonly<Record<string, string>> = {
  '.html': 'text/html; charset=utf-8',
  '.js': 'text/javascript; charset=utf-8',
  '.css': 'text/css; charset=utf-8',
  '.svg': 'image/svg+xml',
};

/** The page runs its own script, talks to where it came from, and is shown in no other page. */
const HEADERS: Readonly<Record<string, string>> = {
  'content-security-policy':
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; " +
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'; require-trusted-types-for 'script'; trusted-types 'none'",
  'referrer-policy': 'no-referrer',
};

/** The demo's chat page, as packages/console/build.mjs has made it; undefined when it has not. */
export function demoPages(): Pages | undefined {
  let names: readonly string[];
  try {
    names = readdirSync(FOLDER);
  } catch {
    return undefined;
  }
  const pages = new Map(names.map((name) => [`/${name}`, pageOf(name)]));
  const index = pages.get('/index.html');
  if (!index) return undefined;
  pages.set('/', index);
  return { find: (path) => pages.get(path) };
}

/** The same for who asked for them. Throws `bad_config`. */
export function requireDemoPages(): Pages {
  const pages = demoPages();
  if (!pages) {
    throw new HalleyError(
      'bad_config',
      'http.demo: the chat page was not built; run `npm run build`, or leave --demo away',
    );
  }
  return pages;
}

function pageOf(name: string): Page {
  return {
    contentType: TYPES[extname(name)] ?? 'application/octet-stream',
    body: readFileSync(join(FOLDER, name)),
    // All but the index have the digest of their content in their names.
    cacheControl: name === 'index.html' ? 'no-cache' : 'public, max-age=31536000, immutable',
    headers: HEADERS,
  };
}
