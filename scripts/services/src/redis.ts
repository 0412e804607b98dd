import path from 'node:path';
import { fetchDebs } from './fetch-debs.js';
import { freePort } from './free-port.js';
import { DEBS } from './pins.js';
import { probe } from './probe.js';
import { startOnPort, type RunningService, type StartOptions } from './running-service.js';

export interface RedisOptions extends StartOptions {
  /** A node of a Redis Cluster: it has no slots and knows no other node until it is told. */
  readonly cluster?: boolean;
}

/** Starts Redis without persistence: a restart empties it. About 12 MB of memory. */
export async function startRedis(options: RedisOptions = {}): Promise<RunningService> {
  const root = await fetchDebs(DEBS.redis, options.progress);
  return startOnPort('redis', options, async (dir, port) => {
    const cluster = options.cluster
      ? ['--cluster-enabled', 'yes', '--cluster-port', String(await freePort())]
      : [];
    return {
      name: 'Redis',
      file: path.join(root, 'usr/bin/redis-server'),
      args: `--port ${port} --bind 127.0.0.1 --appendonly no --save`
        .split(' ')
        .concat('', '--dir', dir, cluster),
      cwd: dir,
      env: { ...process.env, LD_LIBRARY_PATH: path.join(root, 'usr/lib/x86_64-linux-gnu') },
      logFile: options.logFile ?? path.join(dir, 'redis.log'),
      ports: [port],
      ready: () => probe(port, 'PING\r\n', (answer) => answer.includes('+PONG')),
    };
  });
}
