import { readFileSync } from 'node:fs';

import { HalleyError } from '@halley/protocol/error';
import type { Logger } from '@halley/service/log';
import { Cluster, Redis } from 'ioredis';

import type { RoutesConfig } from '../config.js';

const SCRIPTS = ['claim', 'release', 'renew', 'enter-room', 'find', 'generation'] as const;
export type ScriptName = (typeof SCRIPTS)[number];

/** Lua files are read from the sources, from which the compiled file lies as deep as this one. */
const LUA_DIR = new URL('../../../src/routes/redis/', import.meta.url);

const PING_INTERVAL_MS = 1_000;
const PINGS_BEFORE_RECONNECT = 5;

type Script = (numberOfKeys: number, ...args: (string | number)[]) => Promise<unknown>;

/**
 * The connection to Redis: a single one, Sentinel's master, or a cluster, as configured. Commands are neither queued while
 * it is away nor sent again: each fails with `store_unavailable`, and its caller decides.
 */
export class RedisConnection {
  readonly redis: Redis | Cluster;
  readonly #scripts = new Map<ScriptName, Script>();
  #pings: NodeJS.Timeout | undefined;
  /** Pings in a row that were not answered in time: a Redis that hangs keeps its connection. */
  #unanswered = 0;

  constructor(
    private readonly config: RoutesConfig,
    log: Logger,
  ) {
    this.redis = connect(config);
    let away = false;
    this.redis.on('error', (error: Error) => {
      if (!away) log.warn({ err: error.message }, 'the route store is away');
      away = true;
    });
    this.redis.on('ready', () => {
      if (away) log.info('the route store is back');
      away = false;
    });
    for (const name of SCRIPTS) {
      const command = `halley_${name.replace('-', '_')}`;
      this.redis.defineCommand(command, { lua: readFileSync(new URL(`${name}.lua`, LUA_DIR), 'utf8') });
      const commands = this.redis as unknown as Record<string, Script>;
      this.#scripts.set(name, (...args) => commands[command]!.apply(this.redis, args));
    }
  }

  async start(): Promise<void> {
    try {
      await this.redis.connect();
      await this.redis.ping();
      this.#pings = setInterval(() => void this.#ping(), PING_INTERVAL_MS).unref();
    } catch (error) {
      this.redis.disconnect();
      throw new HalleyError('store_unavailable', `no Redis answers at ${this.address}: ${message(error)}`, {
        cause: error,
      });
    }
  }

  stop(): void {
    clearInterval(this.#pings);
    this.redis.disconnect();
  }

  get address(): string {
    const { url, sentinels, cluster } = this.config;
    if (cluster.length > 0) return cluster.join(',');
    return sentinels.length > 0 ? `sentinels ${sentinels.join(',')}` : withoutPassword(url);
  }

  healthy(): boolean {
    return this.redis.status === 'ready' && this.#unanswered === 0;
  }

  async #ping(): Promise<void> {
    if (this.redis.status !== 'ready') return;
    try {
      await this.redis.ping();
      this.#unanswered = 0;
    } catch {
      this.#unanswered += 1;
      // It may be the way there that is gone: another connection finds out.
      if (this.#unanswered >= PINGS_BEFORE_RECONNECT && this.redis instanceof Redis) {
        this.redis.disconnect(true);
      }
    }
  }

  /** Runs a script of this folder. */
  async run(name: ScriptName, keys: readonly string[], args: readonly (string | number)[]): Promise<unknown> {
    return this.guard(() => this.#scripts.get(name)!(keys.length, ...keys, ...args));
  }

  /** Runs a command; what goes wrong becomes `store_unavailable`. */
  async guard<T>(command: () => Promise<T>): Promise<T> {
    try {
      return await command();
    } catch (error) {
      throw new HalleyError('store_unavailable', undefined, { cause: error });
    }
  }
}

function connect(config: RoutesConfig): Redis | Cluster {
  const options = {
    lazyConnect: true,
    enableOfflineQueue: false,
    autoResendUnfulfilledCommands: false,
    maxRetriesPerRequest: 0,
    commandTimeout: config.commandTimeoutMs,
    connectTimeout: config.commandTimeoutMs * 2,
    retryStrategy: (attempt: number) => Math.min(500, 50 * attempt),
  };
  if (config.cluster.length > 0) {
    return new Cluster(config.cluster.map(hostAndPort), {
      lazyConnect: true,
      enableOfflineQueue: false,
      clusterRetryStrategy: options.retryStrategy,
      redisOptions: { commandTimeout: options.commandTimeout, maxRetriesPerRequest: 0 },
    });
  }
  if (config.sentinels.length > 0) {
    return new Redis({ ...options, sentinels: config.sentinels.map(hostAndPort), name: config.sentinelName });
  }
  return new Redis(config.url, options);
}

function hostAndPort(address: string): { host: string; port: number } {
  const colon = address.lastIndexOf(':');
  return { host: address.slice(0, colon), port: Number(address.slice(colon + 1)) };
}

function withoutPassword(url: string): string {
  return url.replace(/\/\/[^@/]*@/, '//');
}

function message(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}
