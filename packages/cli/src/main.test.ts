import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { createServer, type AddressInfo } from 'node:net';
import { buffer } from 'node:stream/consumers';
import { fileURLToPath } from 'node:url';

import { expect, test } from '@jest/globals';

/** The built command: these tests see what a user sees. */
const HALLEY = fileURLToPath(new URL('../bin/halley.js', import.meta.url));

async function halley(...args: string[]): Promise<{ code: number; out: string; err: string }> {
  const { NODE_OPTIONS: _, ...env } = process.env;
  const child = spawn(process.execPath, [HALLEY, ...args], { env, stdio: ['ignore', 'pipe', 'pipe'] });
  const [out, err, [code]] = await Promise.all([
    buffer(child.stdout),
    buffer(child.stderr),
    once(child, 'close') as Promise<[number]>,
  ]);
  return { code, out: out.toString(), err: err.toString() };
}

test.each([
  ['push', []],
  ['push', ['--operation', '1']],
  ['push', ['--operation', 'x']],
  ['push', ['--operation', '1', '--room', 'r', '--body', 'b', '--delay', '15']],
  ['push', ['--operation', '1', '--room', 'r', '--body', 'b', '--at', '2030-01-01', '--delay', '1s']],
  ['push', ['--operation', '1', '--room', 'r', '--body', 'b', '--id', '']],
  ['schedule show', []],
  ['schedule put', ['name', '--cron', '@daily', '--operation', '1', '--body', 'b']],
  ['schedule put', ['name']],
  ['dead requeue', ['x']],
  ['tail', ['--nothing']],
  ['tail', ['--ca', '/there/is/none']],
  ['nodes', ['--tier', 'x']],
  ['cluster', ['--port-offset', 'x']],
])('an error of %s %j points to the help of that command', async (command, args) => {
  const { code, err } = await halley(...command.split(' '), ...args);
  expect(code).toBe(1);
  expect(err.trim().split('\n').at(-1)).toBe(`(halley ${command} --help lists its options)`);
});

test('an unknown command points to the list of them, an unknown key to its command', async () => {
  expect((await halley('nothing')).err).toContain('(halley --help lists the commands)');
  expect((await halley('comet', '--nothing.like.that', '1')).err).toMatch(
    /^halley: [^\n]+; --help lists them\n$/,
  );
});

test('a tail that is closed before its auth is answered ends with 1, over TCP too', async () => {
  const server = createServer((socket) =>
    socket.on('error', () => undefined).once('data', () => socket.end()),
  );
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const { port } = server.address() as AddressInfo;
  const { code, err } = await halley('tail', '--address', `127.0.0.1:${port}`, '--token', 'refused');
  server.close();
  expect(code).toBe(1);
  expect(err).toBe(
    'halley: closed before auth was answered: the server closed the connection; was the token refused?\n',
  );
}, 20_000);
