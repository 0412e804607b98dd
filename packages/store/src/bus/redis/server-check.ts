import { HalleyError } from '@halley/protocol/error';
import type { Logger } from '@halley/service/log';
import { Cluster, type Redis } from 'ioredis';

import type { RedisBusConfig } from './config.js';

type Fsync = RedisBusConfig['fsync'];

/** What a server says of itself, as far as the bus depends on it. */
export interface ServerFacts {
  readonly version: string;
  /** Whether it keeps an append-only file. */
  readonly appendOnly: boolean;
  /** How often that reaches the disk; undefined where the server does not tell. */
  readonly fsync: string | undefined;
  readonly maxmemory: number;
  readonly maxmemoryPolicy: string;
}

export interface ServerNeeds {
  readonly fsync: Fsync;
  readonly replicas: number;
  /** What the partitions of all topics may keep together. */
  readonly maxBytes: number;
}

const ORDER: readonly Fsync[] = ['none', 'everysec', 'always'];
/** XTRIM by id, and NOREPLICAS and the like in scripts. */
const LEAST_VERSION = [6, 2] as const;

/** Asks every server that may hold a part of the bus. */
export async function askServers(redis: Redis | Cluster): Promise<ServerFacts[]> {
  const servers = redis instanceof Cluster ? redis.nodes('master') : [redis];
  return Promise.all(servers.map(askServer));
}

async function askServer(redis: Redis): Promise<ServerFacts> {
  const info = await redis.info();
  const field = (name: string): string => new RegExp(`^${name}:(.*?)\\r?$`, 'm').exec(info)?.[1] ?? '';
  // Managed services often forbid CONFIG.
  const configured = await redis.config('GET', 'appendfsync').catch(() => []);
  return {
    version: field('redis_version'),
    appendOnly: field('aof_enabled') === '1',
    fsync: (configured as string[])[1],
    maxmemory: Number(field('maxmemory')),
    maxmemoryPolicy: field('maxmemory_policy'),
  };
}

/**
 * Refuses servers that may lose what was answered OK by design: they may evict, or keep less on the disk than is asked for.
 * Answers what is to be warned of. Throws `bad_config`.
 */
export function checkServer(facts: ServerFacts, needs: ServerNeeds): string[] {
  const [major = 0, minor = 0] = facts.version.split('.').map(Number);
  if (major < LEAST_VERSION[0] || (major === LEAST_VERSION[0] && minor < LEAST_VERSION[1]))
    throw bad(`Redis ${facts.version} is too old for the bus, which needs ${LEAST_VERSION.join('.')}`);
  if (facts.maxmemoryPolicy !== 'noeviction')
    throw bad(
      `Redis evicts keys when it is full (maxmemory-policy ${facts.maxmemoryPolicy}): set it to noeviction`,
    );
  const offered: Fsync | undefined = facts.appendOnly ? fsyncOf(facts.fsync) : 'none';
  if (offered !== undefined && ORDER.indexOf(offered) < ORDER.indexOf(needs.fsync)) {
    throw bad(
      offered === 'none'
        ? 'Redis keeps nothing over a restart (appendonly no): set appendonly yes, or bus.redis.fsync: none where losing accepted pushes is all right'
        : `Redis flushes its append-only file ${offered}, and bus.redis.fsync asks for ${needs.fsync}: set appendfsync ${needs.fsync}`,
    );
  }
  const warnings: string[] = [];
  if (offered === undefined)
    warnings.push(
      `Redis does not tell how it flushes its append-only file: see to it that appendfsync is ${needs.fsync}`,
    );
  if (offered === 'none') warnings.push('a restart of Redis loses every push that was not archived yet');
  if (offered === 'everysec' && needs.replicas === 0)
    warnings.push('a crash of the host of Redis may lose the last two seconds of accepted pushes');
  if (facts.maxmemory === 0) warnings.push('Redis has no maxmemory: set it below the memory of its host');
  else if (needs.maxBytes > facts.maxmemory)
    warnings.push(
      `the bus may keep ${needs.maxBytes} bytes, and Redis has ${facts.maxmemory}: pushes are refused when it is full; lower bus.redis.maxPartitionBytes`,
    );
  return warnings;
}

/** {@link checkServer} for every server; each warning is logged once. */
export async function checkServers(redis: Redis | Cluster, needs: ServerNeeds, log: Logger): Promise<void> {
  const facts = await askServers(redis);
  const warnings = new Set(facts.flatMap((one) => checkServer(one, needs)));
  for (const warning of warnings) log.warn(`bus in Redis: ${warning}`);
}

function fsyncOf(said: string | undefined): Fsync | undefined {
  if (said === undefined) return undefined;
  return said === 'always' || said === 'everysec' ? said : 'none';
}

function bad(message: string): HalleyError {
  return new HalleyError('bad_config', message);
}
