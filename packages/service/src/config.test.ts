import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

import { afterAll, describe, expect, test } from '@jest/globals';
import { HalleyError } from '@halley/protocol/error';
import { z } from 'zod';

import { type ConfigSources, describeConfig, loadConfig, printConfig, withoutDefaults } from './config.js';

const schema = z.object({
  node: z.object({
    region: z.string().default('').meta({ description: 'Region.', env: 'REGION' }),
    addresses: z.array(z.string()).default([]).meta({ description: 'Addresses.', env: 'ADDRS' }),
    portOffset: z.int().min(0).default(0).meta({ description: 'Offset.', flag: 'port-offset' }),
  }),
  tcp: z.object({
    port: z.int().min(0).max(65_535).default(3101).meta({ description: 'Port of TCP.' }),
    enabled: z.boolean().default(true).meta({ description: 'Whether TCP is served.' }),
  }),
  session: z.object({
    handshakeTimeoutMs: z
      .int()
      .positive()
      .default(8_000)
      .meta({ description: 'Time until auth.', unit: 'milliseconds' }),
  }),
  auth: z.object({
    mode: z.enum(['open', 'jwt']).default('jwt').meta({ description: 'How tokens are checked.' }),
    secret: z.string().min(4).default('none').meta({ description: 'Secret of HS256.', secret: true }),
    url: z.string().default('redis://u:hidden@h:1').meta({ description: 'A URL.' }),
    keys: z
      .array(
        z.object({
          name: z.string(),
          key: z.string().meta({ secret: true }),
          scopes: z.array(z.enum(['push', 'read'])).default([]),
        }),
      )
      .default([])
      .meta({ description: 'API keys.' }),
  }),
});

const folder = mkdtempSync(join(tmpdir(), 'config-'));
afterAll(() => rmSync(folder, { recursive: true }));

function file(text: string): string {
  const path = join(folder, 'halley.yaml');
  writeFileSync(path, text);
  return path;
}

function messageOf(sources: ConfigSources): string {
  try {
    loadConfig(schema, sources);
  } catch (error) {
    expect(error).toBeInstanceOf(HalleyError);
    expect((error as HalleyError).code).toBe('bad_config');
    return (error as HalleyError).message.replace(folder, '');
  }
  throw new Error('was accepted');
}

describe('where values come from', () => {
  test('without any source every key has its default', () => {
    const config = loadConfig(schema, {});
    expect(config.tcp.port).toBe(3101);
    expect(config.session.handshakeTimeoutMs).toBe(8_000);
    expect(config.auth.keys).toEqual([]);
  });

  test('defaults give way to the file, the file to the environment, the environment to flags', () => {
    const defaults = { tcp: { port: 1 } };
    const path = file('tcp:\n  port: 2\n');
    const env = { HALLEY_TCP_PORT: '3' };
    expect(loadConfig(schema, { defaults }).tcp.port).toBe(1);
    expect(loadConfig(schema, { defaults, file: path }).tcp.port).toBe(2);
    expect(loadConfig(schema, { defaults, file: path, env }).tcp.port).toBe(3);
    expect(loadConfig(schema, { defaults, file: path, env, flags: ['--tcp.port', '4'] }).tcp.port).toBe(4);
  });

  test('a camelCase key is snake case in the environment', () => {
    const config = loadConfig(schema, { env: { HALLEY_SESSION_HANDSHAKE_TIMEOUT_MS: '90' } });
    expect(config.session.handshakeTimeoutMs).toBe(90);
  });

  test("goim's variables work, and ours stands above them", () => {
    expect(loadConfig(schema, { env: { REGION: 'sh', ADDRS: 'a, b' } }).node).toMatchObject({
      region: 'sh',
      addresses: ['a', 'b'],
    });
    expect(loadConfig(schema, { env: { REGION: 'sh', HALLEY_NODE_REGION: 'bj' } }).node.region).toBe('bj');
  });

  test('an empty variable counts as not set', () => {
    expect(loadConfig(schema, { env: { HALLEY_TCP_PORT: '' } }).tcp.port).toBe(3101);
    expect(loadConfig(schema, { env: { HALLEY_TEST_KAFKA: '127.0.0.1:1' } }).tcp.port).toBe(3101);
  });

  test('flags take a value beside them or behind an equals sign, and have short names', () => {
    const flags = ['--tcp.port=5', '--port-offset', '100', '--tcp.enabled', '--auth.mode', 'open'];
    const config = loadConfig(schema, { flags });
    expect(config).toMatchObject({
      tcp: { port: 5, enabled: true },
      node: { portOffset: 100 },
      auth: { mode: 'open' },
    });
  });

  test('a switch takes a value too', () => {
    expect(loadConfig(schema, { flags: ['--tcp.enabled', 'false', '--tcp.port', '7'] }).tcp).toEqual({
      enabled: false,
      port: 7,
    });
  });

  test('lists are separated by commas or repeated', () => {
    const flags = ['--node.addresses', 'a,b', '--node.addresses=c'];
    expect(loadConfig(schema, { flags }).node.addresses).toEqual(['a', 'b', 'c']);
  });

  test('lists of objects are written as YAML', () => {
    const env = { HALLEY_AUTH_KEYS: '[{ name: shop, key: k, scopes: [push] }]' };
    expect(loadConfig(schema, { env }).auth.keys).toEqual([{ name: 'shop', key: 'k', scopes: ['push'] }]);
  });

  test('an empty file and an empty section say nothing', () => {
    expect(loadConfig(schema, { file: file('') }).tcp.port).toBe(3101);
    expect(loadConfig(schema, { file: file('tcp:\n') }).tcp.port).toBe(3101);
  });
});

describe('what is wrong is told in one line', () => {
  const cases: [string, ConfigSources, string][] = [
    [
      'an unknown key of the file',
      {
        defaults: {},
        get file() {
          return file('tcp:\n  prt: 1\n');
        },
      },
      'file /halley.yaml: tcp.prt: there is no such key; did you mean tcp.port?',
    ],
    [
      'a key in the wrong section',
      {
        get file() {
          return file('tcp:\n  handshakeTimeoutMs: 1\n');
        },
      },
      'file /halley.yaml: tcp.handshakeTimeoutMs: there is no such key; did you mean session.handshakeTimeoutMs?',
    ],
    [
      'a value in the place of a section',
      {
        get file() {
          return file('tcp: 3101\n');
        },
      },
      'file /halley.yaml: tcp is a section: write its keys below it, indented, not 3101',
    ],
    [
      'text in the place of a number',
      {
        get file() {
          return file('tcp:\n  port: "3101"\n');
        },
      },
      'file /halley.yaml: tcp.port: "3101" is not a whole number from 0 to 65535 (3101 by default)',
    ],
    [
      'a list at the top of the file',
      {
        get file() {
          return file('- 1\n');
        },
      },
      'file /halley.yaml: the top level is made of sections: write its keys below it, indented, not [1]',
    ],
    [
      'a file that is not there',
      { file: '/no/such.yaml' },
      'configuration file /no/such.yaml: there is no such file',
    ],
    [
      'an unknown variable',
      { env: { HALLEY_TCP_PRT: '1' } },
      'environment HALLEY_TCP_PRT: there is no such setting; did you mean HALLEY_TCP_PORT?',
    ],
    [
      'a variable of the wrong type',
      { env: { HALLEY_SESSION_HANDSHAKE_TIMEOUT_MS: '8s' } },
      'environment HALLEY_SESSION_HANDSHAKE_TIMEOUT_MS: "8s" is not a whole number above 0 (in milliseconds, 8000 by default)',
    ],
    [
      'an unknown flag',
      { flags: ['--tcp.prt', '1'] },
      'flag --tcp.prt: there is no such setting; did you mean --tcp.port?',
    ],
    [
      'a flag without its value',
      { flags: ['--tcp.port'] },
      'flag --tcp.port needs a value, as --tcp.port=VALUE',
    ],
    ['a bare argument', { flags: ['run'] }, 'unexpected argument "run"; settings are written --key value'],
    [
      'a number out of its range',
      { flags: ['--tcp.port', '70000'] },
      'flag --tcp.port: 70000 is not a whole number from 0 to 65535 (3101 by default)',
    ],
    [
      'another choice',
      { flags: ['--auth.mode', 'none'] },
      'flag --auth.mode: "none" is not one of open, jwt ("jwt" by default)',
    ],
    [
      'a secret, which is not shown',
      { flags: ['--auth.secret', 'abc'] },
      'flag --auth.secret: the value is not text of at least 4 characters',
    ],
    [
      'an unknown key inside a list',
      { flags: ['--auth.keys', '[{ nam: a }]'] },
      'flag --auth.keys: keys[0].nam: there is no such key; did you mean name?',
    ],
    [
      'a missing key inside a list',
      { flags: ['--auth.keys', '[{ name: a }]'] },
      'flag --auth.keys: keys[0].key: Invalid input: expected string, received undefined',
    ],
  ];

  test.each(cases)('%s', (_name, sources, message) => {
    expect(messageOf(sources)).toBe(message);
  });

  test('what is no YAML, with its place', () => {
    expect(messageOf({ file: file('tcp:\n  port: [1\n') })).toMatch(
      /^configuration file \/halley\.yaml: line \d+, column \d+: [^\n]+$/,
    );
  });

  test('names of Object.prototype are unknown keys too', () => {
    expect(messageOf({ file: file('constructor: 1\n') })).toContain('constructor: there is no such key');
    expect(messageOf({ flags: ['--constructor', '1'] })).toContain('--constructor: there is no such setting');
  });

  test('what Kubernetes sets for a service named halley-… is not ours', () => {
    const env = {
      HALLEY_COMET_SERVICE_HOST: '10.0.0.1',
      HALLEY_COMET_SERVICE_PORT_GRPC: '3109',
      HALLEY_COMET_PORT: 'tcp://10.0.0.1:3109',
      HALLEY_COMET_PORT_3109_TCP_ADDR: '10.0.0.1',
    };
    expect(loadConfig(schema, { env }).tcp.port).toBe(3101);
  });
});

test('a key is described by all its names, its type, range, unit and default', () => {
  const key = describeConfig(schema).find(({ key: name }) => name === 'session.handshakeTimeoutMs');
  expect(key).toMatchObject({
    env: 'HALLEY_SESSION_HANDSHAKE_TIMEOUT_MS',
    flag: '--session.handshakeTimeoutMs',
    type: 'whole number',
    range: 'above 0',
    unit: 'milliseconds',
    defaultText: '8000',
    description: 'Time until auth.',
    secret: false,
  });
});

test('printing hides secrets, also inside lists and URLs', () => {
  const config = loadConfig(schema, {
    flags: ['--auth.secret', 'abcd', '--auth.keys', '[{ name: shop, key: abcd }]'],
  });
  const text = printConfig(config, schema);
  expect(text).toContain('port: 3101');
  expect(text).toContain('name: shop');
  expect(text).toContain('url: redis://u:***@h:1');
  expect(text).not.toMatch(/abcd|hidden/);
});

test('without defaults only what was said is there', () => {
  const config = loadConfig(withoutDefaults(schema), { flags: ['--tcp.port', '5'], env: { REGION: 'sh' } });
  expect(config).toEqual({ tcp: { port: 5 }, node: { region: 'sh' } });
});

test('without defaults a wrong value is still refused, naming the default', () => {
  expect(() => loadConfig(withoutDefaults(schema), { flags: ['--tcp.port', 'x'] })).toThrow(
    'flag --tcp.port: "x" is not a whole number from 0 to 65535 (3101 by default)',
  );
});
