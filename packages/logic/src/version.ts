import { createRequire } from 'node:module';

/** The version of Halley, as package.json says. */
export const VERSION = (createRequire(import.meta.url)('../package.json') as { readonly version: string })
  .version;
