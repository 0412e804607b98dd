import { readFileSync } from 'node:fs';

/** Lua by the name under which an adapter runs it. */
export type Scripts<Name extends string> = Readonly<Record<Name, string>>;

/**
 * Reads the Lua files of `folder` (below the sources of this package, as `streams/redis/`), each script from the files
 * that make it up, in order. They are read from the sources, as the build copies none.
 */
export function readScripts<Name extends string>(
  folder: string,
  files: Readonly<Record<Name, readonly string[]>>,
): Scripts<Name> {
  const base = new URL(`../../src/${folder}`, import.meta.url);
  const texts = Object.entries<readonly string[]>(files).map(([name, parts]) => [
    name,
    parts.map((part) => readFileSync(new URL(`${part}.lua`, base), 'utf8')).join('\n'),
  ]);
  return Object.fromEntries(texts) as Scripts<Name>;
}
