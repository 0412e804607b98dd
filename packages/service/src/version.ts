import { readFileSync } from 'node:fs';

/** The version of Halley, as nodes register it; all packages have the same. */
export const VERSION = (
  JSON.parse(readFileSync(new URL('../package.json', import.meta.url), 'utf8')) as { version: string }
).version;
