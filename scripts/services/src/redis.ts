import { writeFile } from 'node:fs/promises';
import path from 'node:path';
import { fetchDebs } from './fetch-debs.js';
import { freePort } from './free-port.js';
import { DEBS } from './pins.js';
import { probe } from './probe.js';
import { startOnPort, type RunningService, type StartOptions } from './running-service.js';

export interface RedisOptions extends StartOptions {
  /** A node of a Redis Cluster: it has no slots and knows no other node until it is told. */
  readonly cluster?: boolean;
  /** The port of the Redis whose replica it is; a master when not given. */
  readonly replicaOf?: number;
  /** What clients and replicas have to say; nothing when not given. */
  readonly password?: string;
  /** What it answered is on the disk, and there again after a restart. */
  readonly appendOnly?: boolean;
}

/** Starts Redis, without persistence unless it is asked for: a restart empties it. About 12 MB of memory. */
export async function startRedis(options: RedisOptions = {}): Promise<RunningService> {
  const root = await fetchDebs(DEBS.redis, options.progress);
  return startOnPort('redis', options, async (dir, port) => {
    const cluster = options.cluster
      ? ['--cluster-enabled', 'yes', '--cluster-port', String(await freePort())]
      : [];
    const replica =
      options.replicaOf === undefined ? [] : ['--replicaof', '127.0.0.1', String(options.replicaOf)];
    const { password } = options;
    const login = password === undefined ? [] : ['--requirepass', password, '--masterauth', password];
    const kept = options.appendOnly ? 'yes --appendfsync always' : 'no';
    return {
      name: 'Redis',
      file: redisServer(root),
      args: `--port ${port} --bind 127.0.0.1 --appendonly ${kept} --save`
        .split(' ')
        .concat('', '--dir', dir, cluster, replica, login, '--repl-diskless-sync-delay', '0'),
      cwd: dir,
      env: redisEnvironment(root),
      logFile: options.logFile ?? path.join(dir, 'redis.log'),
      ports: [port],
      ready: () => probe(port, 'PING\r\n', (answer) => /\+PONG|-NOAUTH/.test(answer.toString())),
    };
  });
}

/** How the sentinels of a test know its master. */
export interface SentinelOptions extends StartOptions {
  readonly name: string;
  readonly masterPort: number;
  /** How many of them have to agree that it is gone. */
  readonly quorum: number;
  /** The master's, and its own. */
  readonly password?: string;
}

/** Starts a sentinel that takes a master for gone after a second. It finds replicas and the other sentinels by the master. */
export async function startSentinel(options: SentinelOptions): Promise<RunningService> {
  const root = await fetchDebs(DEBS.redis, options.progress);
  const { name, masterPort, quorum, password } = options;
  return startOnPort('sentinel', options, async (dir, port) => {
    const file = path.join(dir, 'sentinel.conf');
    const login =
      password === undefined
        ? []
        : [
            `sentinel auth-pass ${name} ${password}`,
            `requirepass ${password}`,
            `sentinel sentinel-pass ${password}`,
          ];
    const lines = [
      `port ${port}`,
      'bind 127.0.0.1',
      `dir ${dir}`,
      `sentinel monitor ${name} 127.0.0.1 ${masterPort} ${quorum}`,
      `sentinel down-after-milliseconds ${name} 1000`,
      `sentinel failover-timeout ${name} 6000`,
      ...login,
    ];
    // It writes down there what it learns.
    await writeFile(file, `${lines.join('\n')}\n`);
    return {
      name: 'Sentinel',
      file: redisServer(root),
      args: [file, '--sentinel'],
      cwd: dir,
      env: redisEnvironment(root),
      logFile: options.logFile ?? path.join(dir, 'sentinel.log'),
      ports: [port],
      ready: () => probe(port, 'PING\r\n', (answer) => /\+PONG|-NOAUTH/.test(answer.toString())),
    };
  });
}

function redisServer(root: string): string {
  return path.join(root, 'usr/bin/redis-server');
}

function redisEnvironment(root: string): NodeJS.ProcessEnv {
  return { ...process.env, LD_LIBRARY_PATH: path.join(root, 'usr/lib/x86_64-linux-gnu') };
}
