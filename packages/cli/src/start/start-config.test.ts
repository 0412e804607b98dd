import { describe, expect, test } from '@jest/globals';
import { describeConfig } from '@halley/service/config';
import { z } from 'zod';

import { configDoc } from '../docs/config-doc.js';
import { listedKeys, loadStartConfig, printStartConfig, startSchema } from './start-config.js';

const node = z.object({
  bind: z.string().default('127.0.0.1').meta({ description: 'Address.', flag: 'bind' }),
  region: z.string().default('').meta({ description: 'Region.', env: 'REGION' }),
});
const ops = (port: number) => z.object({ port: z.int().default(port).meta({ description: 'Port.' }) });
const auth = z.object({
  mode: z.enum(['open', 'jwt']).default('jwt').meta({ description: 'Mode.' }),
  secret: z.string().default('').meta({ description: 'Secret.', secret: true }),
});
const schemas = {
  comet: z.object({
    node,
    ops: ops(3104),
    session: z.object({ maxBodyBytes: z.int().default(4096).meta({ description: 'Limit.', unit: 'bytes' }) }),
  }),
  logic: z.object({ node, ops: ops(3114), auth }),
  job: z.object({
    node,
    ops: ops(3124),
    bus: z.object({
      adapter: z.enum(['kafka', 'redis', 'embedded']).default('kafka').meta({ description: 'Adapter.' }),
    }),
    archive: z.object({
      adapter: z.enum(['mariadb', 'embedded']).default('mariadb').meta({ description: 'Adapter.' }),
    }),
  }),
};

const load = (...flags: string[]) => loadStartConfig(schemas, { flags, env: {} }).tiers;

describe('one configuration for three tiers', () => {
  test('unset keys have the defaults of their tier, but open instead of jwt', () => {
    const { comet, logic, job } = load();
    expect([comet.ops.port, logic.ops.port, job.ops.port]).toEqual([3104, 3114, 3124]);
    expect(logic.auth.mode).toBe('open');
  });

  test('a key at the top is for every tier that has it', () => {
    const { comet, logic, job } = load('--bind', '0.0.0.0', '--session.maxBodyBytes', '9');
    expect([comet, logic, job].map((config) => config.node.bind)).toEqual(['0.0.0.0', '0.0.0.0', '0.0.0.0']);
    expect(comet.session.maxBodyBytes).toBe(9);
  });

  test('a key of one tier stands above', () => {
    const { comet, logic } = load('--comet.node.bind', '::', '--node.bind', '::1');
    expect([comet.node.bind, logic.node.bind]).toEqual(['::', '::1']);
  });

  test('a key whose default differs is only there', () => {
    expect(load('--comet.ops.port', '1').comet.ops.port).toBe(1);
    expect(() => load('--ops.port', '1')).toThrow(
      'flag --ops.port: there is no such setting; did you mean --comet.ops.port?',
    );
  });

  test('another adapter than the embedded one is refused, not ignored', () => {
    const { bus, archive } = load().job;
    expect([bus.adapter, archive.adapter]).toEqual(['embedded', 'embedded']);
    for (const flag of ['--bus.adapter', '--job.bus.adapter']) {
      expect(() => load(flag, 'kafka')).toThrow('halley start is always embedded');
    }
    expect(() => load('--archive.adapter', 'mariadb')).toThrow('halley start is always embedded');
  });

  test('the bus may be in Redis, for all tiers at once', () => {
    expect(load('--bus.adapter', 'redis').job.bus.adapter).toBe('redis');
    expect(() => load('--job.bus.adapter', 'redis')).toThrow('halley start is always embedded');
  });

  test('what is told as the default is what holds', () => {
    const keys = describeConfig(startSchema(schemas));
    expect(keys.find(({ key }) => key === 'auth.mode')?.defaultText).toBe('"open"');
  });

  test('a key is listed once, below the tiers where it is only there', () => {
    const listed = listedKeys(schemas).map(({ key }) => key);
    expect(listed.filter((key) => key.endsWith('node.bind'))).toEqual(['node.bind']);
    expect(listed.filter((key) => key.endsWith('ops.port'))).toEqual([
      'comet.ops.port',
      'logic.ops.port',
      'job.ops.port',
    ]);
    expect(new Set(listed.map((key) => key.replace(/^(comet|logic|job)\./, '')))).toEqual(
      new Set(Object.values(schemas).flatMap((schema) => describeConfig(schema).map(({ key }) => key))).add(
        'data.dir',
      ),
    );
  });

  test('auth.mode can be set', () => {
    expect(load('--auth.mode', 'jwt').logic.auth.mode).toBe('jwt');
  });

  test('the environment works for both, and aliases only at the top', () => {
    const { tiers } = loadStartConfig(schemas, { env: { REGION: 'sh', HALLEY_JOB_NODE_REGION: 'bj' } });
    expect([tiers.comet.node.region, tiers.job.node.region]).toEqual(['sh', 'bj']);
  });

  test('a wrong value is told where it was said', () => {
    expect(() => load('--session.maxBodyBytes', 'x')).toThrow(
      'flag --session.maxBodyBytes: "x" is not a whole number',
    );
  });
});

test('what is printed can be read back, but for secrets', () => {
  const config = loadStartConfig(schemas, { flags: ['--auth.secret', 'abcd', '--data-dir', '/d'] });
  const text = printStartConfig(schemas, config);
  expect(text).toMatch(/^data:\n {2}dir: \/d\n/);
  expect(text).toContain('port: 3124');
  expect(text).not.toContain('abcd');
});

test('the page of the configuration has every key of every tier', () => {
  const page = configDoc(schemas);
  expect(page).toContain('### session (comet)');
  expect(page).toContain('| `session.maxBodyBytes` | whole number, bytes | `4096` |  | Limit. |');
  expect(page.split('### node (comet, logic, job)')).toHaveLength(2);
  expect(page).toContain('| `node.region`<br>`REGION` |');
  expect(page).toContain('Secret: never printed.');
});
