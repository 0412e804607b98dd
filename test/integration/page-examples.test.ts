import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { readFileSync } from 'node:fs';
import { buffer } from 'node:stream/consumers';
import { fileURLToPath } from 'node:url';

import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';

import { startHalley, type StartedHalley } from '../harness/halley-process.js';

const ROOT = fileURLToPath(new URL('../..', import.meta.url));
const HALLEY = `${ROOT}packages/cli/bin/halley.js`;
const PAGES = ['docs/business-api.md', 'docs/push-options.md'];

/** The fenced blocks of a page in one language, each below the heading that it stands under. */
function blocksOf(page: string, language: string): { heading: string; text: string }[] {
  const blocks: { heading: string; text: string }[] = [];
  let heading = '';
  const text = readFileSync(ROOT + page, 'utf8');
  for (const [, title, fenced, body = ''] of text.matchAll(/^#+ (.+)$|^```(\w*)\n([^]*?)^```$/gm)) {
    if (title !== undefined) heading = title;
    else if (fenced === language) blocks.push({ heading, text: body });
  }
  return blocks;
}

let halley: StartedHalley;
beforeAll(async () => {
  halley = await startHalley();
}, 60_000);
afterAll(() => halley.stop());

/** Runs a block as it stands on the page against the started server; a command that fails ends it. */
async function run(block: string): Promise<{ code: number; output: string }> {
  const { logicHttp, logicGrpc } = halley.target;
  const script = `
    curl() { command curl --silent --show-error --fail-with-body "$@" && echo; }
    npx() { shift; node '${HALLEY}' "$@" --address ${logicGrpc}; }
    ${block.replaceAll('http://127.0.0.1:3111', logicHttp)}`;
  const { NODE_OPTIONS: _, ...env } = process.env;
  const child = spawn('bash', ['-euc', script], { env, stdio: ['ignore', 'pipe', 'pipe'] });
  const [out, err, [code]] = await Promise.all([
    buffer(child.stdout),
    buffer(child.stderr),
    once(child, 'close') as Promise<[number]>,
  ]);
  return { code, output: `${out.toString()}${err.toString()}` };
}

describe.each(PAGES)('what %s shows works', (page) => {
  test.each(blocksOf(page, 'sh'))(
    '$heading',
    async ({ text }) => {
      expect(await run(text)).toMatchObject({ code: 0 });
    },
    60_000,
  );
});

describe.each([
  ['go', ['docs/examples/go/main.go', 'docs/examples/go/options.go']],
  ['python', ['docs/examples/python/client.py', 'docs/examples/python/options.py']],
])('what is shown in %s stands in the client that tests run', (language, files) => {
  const lines = (text: string): string[] => text.split('\n').map((line) => line.trim());
  const program = files.map((file) => lines(readFileSync(ROOT + file, 'utf8')).join('\n')).join('\n');
  test.each(PAGES.flatMap((page) => blocksOf(page, language)))('$heading', ({ text }) => {
    expect(program).toContain(lines(text).join('\n').trim());
  });
});
