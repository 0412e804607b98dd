import { mkdir, writeFile } from 'node:fs/promises';
import path from 'node:path';
import type { Progress } from './cache.js';
import { fetchDebs } from './fetch-debs.js';
import { DEBS } from './pins.js';
import { lastLines, run } from './run.js';

/** How to start a Chromium: what Playwright's `launch` takes. */
export interface Chromium {
  readonly executablePath: string;
  readonly args: readonly string[];
  readonly env: Readonly<Record<string, string>>;
}

export interface ChromiumOptions {
  /** A private folder, for the list of fonts and what is cached of them. */
  readonly dir: string;
  readonly progress?: Progress;
}

/**
 * A Chromium without windows, fetched on first use, with libraries and fonts of its own: nothing of the machine's is needed but
 * the C library. Throws when it does not run here.
 */
export async function chromium({ dir, progress }: ChromiumOptions): Promise<Chromium> {
  const root = await fetchDebs(DEBS.chromium, progress);
  const libraries = ['usr/lib', 'lib'].map((folder) => path.join(root, folder, 'x86_64-linux-gnu'));
  const fonts = path.join(dir, 'fonts.conf');
  await mkdir(dir, { recursive: true });
  await writeFile(fonts, fontsConf(path.join(root, 'usr/share/fonts'), path.join(dir, 'fonts')));
  const started: Chromium = {
    executablePath: path.join(root, 'usr/lib/chromium/chromium-headless-shell'),
    // Root can't have its sandbox; the others do without a GPU and without a large /dev/shm.
    args: ['--no-sandbox', '--disable-gpu', '--disable-dev-shm-usage'],
    env: {
      LD_LIBRARY_PATH: libraries
        .flatMap((folder) => [folder, ...['pulseaudio', 'nss'].map((name) => path.join(folder, name))])
        .join(':'),
      FONTCONFIG_FILE: fonts,
      HOME: dir,
    },
  };
  await requireItRuns(started);
  return started;
}

async function requireItRuns({ executablePath, env }: Chromium): Promise<void> {
  const answer = await run(executablePath, ['--version'], { env: { ...process.env, ...env } });
  if (answer !== 'missing' && answer.code === 0) return;
  const why = answer === 'missing' ? 'it is not there' : lastLines(answer.output);
  throw new Error(
    `Chromium does not run: ${executablePath}: ${why}. Remove its folder to have it fetched anew.`,
  );
}

function fontsConf(fonts: string, cache: string): string {
  return `<?xml version="1.0"?>
<!DOCTYPE fontconfig SYSTEM "urn:fontconfig:fonts.dtd">
<fontconfig>
  <dir>${fonts}</dir>
  <cachedir>${cache}</cachedir>
  <alias><family>sans-serif</family><prefer><family>Inter</family><family>DejaVu Sans</family></prefer></alias>
  <alias><family>system-ui</family><prefer><family>Inter</family></prefer></alias>
  <alias><family>monospace</family><prefer><family>DejaVu Sans Mono</family></prefer></alias>
</fontconfig>
`;
}
