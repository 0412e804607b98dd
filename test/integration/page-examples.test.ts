import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { readFileSync } from 'node:fs';
import { createServer, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { buffer, text as textOf } from 'node:stream/consumers';
import { fileURLToPath } from 'node:url';

// Commands load it while they run, several modules at once, which the modules of a test do not always bear.
import '@halley/cli/client/logic-client';
import { createProgram } from '@halley/cli/program';
import { afterAll, beforeAll, describe, expect, jest, test } from '@jest/globals';

import { startHalley, type StartedHalley } from '../harness/halley-process.js';

const ROOT = fileURLToPath(new URL('../..', import.meta.url));
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
let commands: Server;
beforeAll(async () => {
  halley = await startHalley();
  commands = serveCommands();
  await once(commands, 'listening');
}, 60_000);
afterAll(async () => {
  commands.close();
  await halley.stop();
});

/** Runs the arguments of `halley` that are posted, each ended by a zero: a process of its own for each would take a second. */
function serveCommands(): Server {
  const server = createServer((request, response) => {
    void (async () => {
      const args = (await textOf(request)).split('\0').slice(0, -1);
      let output = '';
      const written = jest.spyOn(process.stdout, 'write').mockImplementation((text) => {
        output += String(text);
        return true;
      });
      const code = await createProgram()
        .parseAsync(['node', 'halley', ...args])
        .then(() => Number(process.exitCode ?? 0))
        .catch((error: unknown) => {
          output += String(error);
          return 1;
        });
      written.mockRestore();
      process.exitCode = undefined;
      response.writeHead(code === 0 ? 200 : 500).end(output);
    })();
  });
  return server.listen(0, '127.0.0.1');
}

/** Runs a block as it stands on the page against the started server; a command that fails ends it. */
async function run(block: string): Promise<{ code: number; output: string }> {
  const { logicHttp, logicGrpc } = halley.target;
  const { port } = commands.address() as AddressInfo;
  const script = `
    curl() { command curl --silent --show-error --fail-with-body "$@" && echo; }
    npx() { shift; printf '%s\\0' "$@" --address ${logicGrpc} | curl --data-binary @- http://127.0.0.1:${port}; }
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
      const result = await run(text);
      expect(result).toEqual({ code: 0, output: result.output });
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
