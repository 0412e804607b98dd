import { readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';

import { describe, expect, test } from '@jest/globals';
import { parse } from 'yaml';
import type { z } from 'zod';

import { checkCometConfig, cometConfig, type CometConfig } from '@halley/comet/config';
import { jobConfig } from '@halley/job/config';
import { checkLogicConfig, logicConfig, type LogicConfig } from '@halley/logic/config';
import { loadConfig } from '@halley/service/config';

interface ComposeService {
  readonly command?: readonly string[];
  readonly environment?: Readonly<Record<string, string>>;
}

const TIERS: Readonly<Record<string, { schema: z.ZodObject; check: (config: unknown) => void }>> = {
  comet: { schema: cometConfig, check: (config) => checkCometConfig(config as CometConfig) },
  logic: { schema: logicConfig, check: (config) => checkLogicConfig(config as LogicConfig) },
  job: { schema: jobConfig, check: () => {} },
};

function pathOf(name: string): string {
  return fileURLToPath(new URL(`../../deploy/${name}`, import.meta.url));
}

function start(tier: string, env: Record<string, string>, file?: string): void {
  const { schema, check } = TIERS[tier] as (typeof TIERS)[string];
  check(loadConfig(schema, { env, ...(file ? { file } : {}) }));
}

/** The services of a compose file. */
function servicesOf(file: string): Readonly<Record<string, ComposeService>> {
  const composed = parse(readFileSync(pathOf(file), 'utf8'), { merge: true }) as {
    readonly services: Readonly<Record<string, ComposeService>>;
  };
  return composed.services;
}

const COMPOSED = ['compose.yaml', 'compose.redis.yaml'];
const nodes = COMPOSED.flatMap((file) =>
  Object.entries(servicesOf(file)).flatMap(([name, { command, environment }]) =>
    command && (command[0] ?? '') in TIERS ? [{ file, name, tier: command[0] ?? '', environment }] : [],
  ),
);
/** What the environment gives in production. */
const SECRETS: Readonly<Record<string, string>> = {
  HALLEY_CLUSTER_TOKEN: 'secret',
  HALLEY_ROUTES_URL: 'redis://user:password@redis.internal:6379',
  HALLEY_ARCHIVE_URL: 'mysql://user:password@mariadb.internal:3306/halley',
};
/** Those that the head of a tier's file asks for. */
function secretsOf(tier: string): string[] {
  const text = readFileSync(pathOf(`production/${tier}.yaml`), 'utf8');
  return [...text.matchAll(/HALLEY_[A-Z_]+/g)].map(([name]) => name);
}
/** The image binds to every address. */
const IMAGE = { HALLEY_NODE_BIND: '0.0.0.0' };

describe('every node that deploy/ describes would start', () => {
  test('the image binds as is assumed here', () => {
    expect(readFileSync(pathOf('docker/Dockerfile'), 'utf8')).toContain('HALLEY_NODE_BIND=0.0.0.0');
  });

  test.each(COMPOSED)('%s has two of each tier', (file) => {
    const own = nodes.filter((node) => node.file === file);
    expect(own.map(({ tier }) => tier)).toEqual(['comet', 'comet', 'logic', 'logic', 'job', 'job']);
  });

  test('compose.redis.yaml has no Kafka, and a Redis that keeps what it answered', () => {
    const { kafka, redis } = servicesOf('compose.redis.yaml');
    expect(kafka).toBeUndefined();
    expect(readFileSync(pathOf('compose.redis.yaml'), 'utf8')).not.toMatch(/kafka:/);
    expect(redis?.command).toEqual(expect.arrayContaining(['yes', 'always', 'noeviction']));
    const ofTheBus = nodes.filter(({ file, tier }) => file === 'compose.redis.yaml' && tier !== 'comet');
    for (const { environment } of ofTheBus)
      expect(environment).toMatchObject({ HALLEY_BUS_ADAPTER: 'redis', HALLEY_BUS_REDIS_FSYNC: 'always' });
  });

  test.each(nodes)('$file: $name', ({ tier, environment }) => {
    expect(environment).toBeDefined();
    expect(() => start(tier, { ...IMAGE, ...environment })).not.toThrow();
  });

  test.each(Object.keys(TIERS))('production/%s.yaml, with the secrets that it names', (tier) => {
    const secrets = Object.fromEntries(secretsOf(tier).map((name) => [name, SECRETS[name] ?? '']));
    expect(() => start(tier, secrets, pathOf(`production/${tier}.yaml`))).not.toThrow();
  });

  test('logic and job are told where Redis and the archive are, comet is not', () => {
    const tiers = Object.keys(TIERS).map((tier) => [tier, secretsOf(tier)]);
    const all = Object.keys(SECRETS);
    expect(Object.fromEntries(tiers)).toEqual({ comet: [all[0]], logic: all, job: all });
  });

  test.each(['comet', 'logic'])('production/%s.yaml without the shared token is refused', (tier) => {
    expect(() => start(tier, {}, pathOf(`production/${tier}.yaml`))).toThrow(/cluster\.token/);
  });
});
