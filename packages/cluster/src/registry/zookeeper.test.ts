import { createServer, type AddressInfo } from 'node:net';

import { afterEach, beforeEach, expect, test } from '@jest/globals';
import { type DestinationStream, pino } from 'pino';

import { ZooKeeperRegistry } from './zookeeper.js';

/** A server that nobody is behind: it ends every connection at once. */
const server = createServer((socket) => socket.destroy());
beforeEach(() => new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve)));
afterEach(() => new Promise<unknown>((resolve) => server.close(resolve)));

test('where no ZooKeeper answers, the failed start is all that is told', async () => {
  const { port } = server.address() as AddressInfo;
  const lines: { level: number; msg: string }[] = [];
  const destination: DestinationStream = {
    write: (line) => lines.push(JSON.parse(line) as (typeof lines)[number]),
  };
  const registry = new ZooKeeperRegistry({
    config: {
      servers: [`127.0.0.1:${port}`],
      rootPath: '/halley',
      // Shorter than the wait: a new session is tried too.
      sessionTimeoutMs: 1_000,
      connectTimeoutMs: 1_800,
    },
    env: 'test',
    log: pino({ level: 'debug' }, destination),
  });
  await expect(registry.start()).rejects.toThrow(
    `No ZooKeeper answers at 127.0.0.1:${port} within 1800 ms. Start it, or set registry.servers.`,
  );
  expect(lines.map(({ msg }) => msg)).toContain('a new session with ZooKeeper is opened');
  expect(lines.filter(({ level }) => level > 20)).toEqual([]);
});
