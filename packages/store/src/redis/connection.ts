import { Writable } from 'node:stream';

import { HalleyError } from '@halley/protocol/error';
import type { Logger } from '@halley/service/log';
import { Cluster, Redis, type RedisOptions } from 'ioredis';

import type { Scripts } from './scripts.js';

/** Where Redis is, and how patient a command is with it. */
export interface RedisLocation {
  readonly url: string;
  readonly sentinels: readonly string[];
  readonly sentinelName: string;
  /** Empty when they ask for none. */
  readonly sentinelPassword: string;
  readonly cluster: readonly string[];
  readonly commandTimeoutMs: number;
}

export interface RedisConnectionDeps<Name extends string> {
  readonly location: RedisLocation;
  /** What is kept there, for the log: `the route store`. */
  readonly store: string;
  readonly scripts: Scripts<Name>;
  readonly log: Logger;
}

const PING_INTERVAL_MS = 1_000;
const PINGS_BEFORE_RECONNECT = 5;

/** What a script or a command is given. */
export type RedisArgument = string | number | Buffer;

/** Lists, as a call's own arguments have to fit on the stack. */
type Script = (
  numberOfKeys: number,
  keys: readonly string[],
  args: readonly RedisArgument[],
) => Promise<unknown>;

/**
 * The connection to Redis: a single one, Sentinel's master, or a cluster, as configured. Commands are neither queued while
 * it is away nor sent again: each fails with `store_unavailable` (`store_full` when Redis is out of memory), and its
 * caller decides.
 */
export class RedisConnection<Name extends string> {
  readonly redis: Redis | Cluster;
  readonly #scripts = new Map<Name, { readonly text: Script; readonly bytes: Script }>();
  #pings: NodeJS.Timeout | undefined;
  /** What goes to Redis in this turn of the loop is held back until its end. */
  #corked: Writable[] = [];
  /** Pings in a row that were not answered in time: a Redis that hangs keeps its connection. */
  #unanswered = 0;

  constructor(private readonly deps: RedisConnectionDeps<Name>) {
    const { location, store, scripts, log } = deps;
    this.redis = connect(location);
    let away = false;
    this.redis.on('error', (error: Error) => {
      if (!away) log.warn({ err: error.message }, `${store} is away`);
      away = true;
    });
    this.redis.on('ready', () => {
      if (away) log.info(`${store} is back`);
      away = false;
    });
    for (const [name, lua] of Object.entries<string>(scripts)) {
      const command = commandOf(name);
      this.redis.defineCommand(command, { lua });
      const commands = this.redis as unknown as Record<string, Script>;
      const script =
        (called: string): Script =>
        (...args) =>
          commands[called]!.apply(this.redis, args);
      this.#scripts.set(name as Name, { text: script(command), bytes: script(`${command}Buffer`) });
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
    const { url, sentinels, cluster } = this.deps.location;
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

  /** Runs a script; its texts are answered as strings. */
  async run(name: Name, keys: readonly string[], args: readonly RedisArgument[]): Promise<unknown> {
    return this.guard(() => this.#scripts.get(name)!.text(keys.length, keys, args));
  }

  /** Runs a script; its texts are answered as bytes. */
  async runForBytes(name: Name, keys: readonly string[], args: readonly RedisArgument[]): Promise<unknown> {
    return this.guard(() => this.#scripts.get(name)!.bytes(keys.length, keys, args));
  }

  /**
   * What one turn of the loop asks leaves in one write: a write costs this process and Redis more than a short script. The
   * client's own auto-pipelining does not serve: it sends one pipeline after another, and a cluster's again when it failed.
   */
  #gather(): void {
    if (this.#corked.length > 0) return;
    const nodes = this.redis instanceof Cluster ? this.redis.nodes() : [this.redis];
    for (const { stream } of nodes) {
      // One that is not connected has none.
      if (!(stream instanceof Writable)) continue;
      stream.cork();
      this.#corked.push(stream);
    }
    if (this.#corked.length > 0) setImmediate(() => this.#release());
  }

  #release(): void {
    const corked = this.#corked;
    this.#corked = [];
    for (const stream of corked) stream.uncork();
  }

  /**
   * Runs a script, and waits until so many replicas have what it wrote, or the time is over; answers how many have. Other
   * commands of this connection wait meanwhile.
   */
  async runAndWait(
    name: Name,
    keys: readonly string[],
    args: readonly RedisArgument[],
    replicas: number,
    timeoutMs: number,
  ): Promise<{ readonly answer: unknown; readonly acknowledged: number }> {
    return this.guard(async () => {
      const pipeline = this.redis.pipeline();
      const script = (pipeline as unknown as Record<string, Script>)[commandOf(name)]!;
      void script.call(pipeline, keys.length, keys, args);
      const results = await pipeline.wait(replicas, timeoutMs).exec();
      const [[failure, answer] = [], [, acknowledged] = []] = (results ?? []) as [unknown?, unknown?][];
      if (failure) throw failure;
      return { answer, acknowledged: typeof acknowledged === 'number' ? acknowledged : 0 };
    });
  }

  /** Runs a command; what goes wrong becomes `store_unavailable`, or `store_full`. */
  async guard<T>(command: () => Promise<T>): Promise<T> {
    this.#gather();
    try {
      return await command();
    } catch (error) {
      const full = OUT_OF_MEMORY.test(message(error));
      throw new HalleyError(full ? 'store_full' : 'store_unavailable', undefined, { cause: error });
    }
  }
}

/** Under which the client knows a script. */
function commandOf(name: string): string {
  return `halley_${name.replaceAll('-', '_')}`;
}

/** How every version of Redis says it, of a command and of a script. */
const OUT_OF_MEMORY = /\bOOM command not allowed\b/;

function connect(location: RedisLocation): Redis | Cluster {
  const options = {
    lazyConnect: true,
    enableOfflineQueue: false,
    autoResendUnfulfilledCommands: false,
    maxRetriesPerRequest: 0,
    commandTimeout: location.commandTimeoutMs,
    connectTimeout: location.commandTimeoutMs * 2,
    retryStrategy: (attempt: number) => Math.min(500, 50 * attempt),
  };
  if (location.cluster.length > 0) {
    return new Cluster(location.cluster.map(hostAndPort), {
      lazyConnect: true,
      enableOfflineQueue: false,
      clusterRetryStrategy: options.retryStrategy,
      redisOptions: {
        ...loginOf(location.url),
        commandTimeout: options.commandTimeout,
        maxRetriesPerRequest: 0,
      },
    });
  }
  if (location.sentinels.length > 0) {
    const { sentinels, sentinelName, sentinelPassword, url } = location;
    return new Redis({
      ...options,
      ...loginOf(url),
      db: databaseOf(url),
      sentinels: sentinels.map(hostAndPort),
      name: sentinelName,
      ...(sentinelPassword !== '' && { sentinelPassword }),
    });
  }
  return new Redis(location.url, options);
}

/** What the url says beside where Redis is. */
function loginOf(url: string): Pick<RedisOptions, 'username' | 'password' | 'tls'> {
  const { protocol, username, password } = new URL(url);
  return {
    ...(username !== '' && { username: decodeURIComponent(username) }),
    ...(password !== '' && { password: decodeURIComponent(password) }),
    ...(protocol === 'rediss:' && { tls: {} }),
  };
}

function databaseOf(url: string): number {
  return Number(new URL(url).pathname.slice(1)) || 0;
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
