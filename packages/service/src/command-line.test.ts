import { expect, test } from '@jest/globals';
import { z } from 'zod';

import { readCommandLine } from './command-line.js';

const schema = z.object({
  tcp: z.object({ port: z.int().default(3101).meta({ description: 'Port of TCP.' }) }),
  auth: z.object({ secret: z.string().default('hidden').meta({ description: 'A secret.', secret: true }) }),
});

async function read(...argv: string[]) {
  let out = '';
  let err = '';
  const result = await readCommandLine(
    { command: 'halley x', summary: 'Runs x.', schema, argv, env: {} },
    {
      stdout: { write: (text: string) => (out += text) },
      stderr: { write: (text: string) => (err += text) },
    },
  );
  return { result, out, err };
}

test('keys are flags', async () => {
  expect((await read('--tcp.port', '1')).result).toEqual({
    config: { tcp: { port: 1 }, auth: { secret: 'hidden' } },
  });
});

test('a wrong configuration is one line and exit 1', async () => {
  const { result, err } = await read('--tcp.prt', '1');
  expect(result).toEqual({ exit: 1 });
  expect(err).toBe('halley: flag --tcp.prt: there is no such setting; did you mean --tcp.port?\n');
});

test('--check-config checks and does no more', async () => {
  expect(await read('--check-config')).toMatchObject({
    result: { exit: 0 },
    out: 'The configuration is right.\n',
  });
  expect(await read('--check-config', '--tcp.port=x')).toMatchObject({ result: { exit: 1 } });
});

test('--print-config prints YAML without secrets', async () => {
  const { result, out } = await read('--print-config', '--tcp.port', '9');
  expect(result).toEqual({ exit: 0 });
  expect(out).toContain('port: 9');
  expect(out).not.toContain('hidden');
});

test('--help names every key', async () => {
  const { out } = await read('--help');
  expect(out).toContain('Usage: halley x');
  expect(out).toMatch(/--tcp\.port +Port of TCP\. \[3101\]/);
});
