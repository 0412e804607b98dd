// Writes the pages of docs/ that are generated from the built product; build first. With --check it writes nothing and
// exits with 1 when a page is stale.
import { readFileSync, writeFileSync } from 'node:fs';

import { pages } from './docs/pages.mjs';

const check = process.argv.includes('--check');
for (const [path, text] of pages()) {
  const file = new URL(`../${path}`, import.meta.url);
  if (!check) {
    writeFileSync(file, text);
  } else if (readFileSync(file, 'utf8') !== text) {
    process.stderr.write(`${path} is stale: run npm run docs\n`);
    process.exitCode = 1;
  }
}
