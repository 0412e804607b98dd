import { setTimeout as sleep } from 'node:timers/promises';

import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from '@jest/globals';
import type { Registry, ViewChange } from '@halley/cluster/registry/registry';
import { ZooKeeperRegistry } from '@halley/cluster/registry/zookeeper';
import { silentLogger } from '@halley/service/log';
import type { RunningService } from '@halley/services/running-service';
import { startZooKeeper } from '@halley/services/zookeeper';
import { type Client, createClient, CreateMode } from 'node-zookeeper-client';

import { registryContract } from '../../packages/cluster/src/registry/contract.js';
import { nodeRecord } from '../../packages/cluster/src/registry/fixture.js';
import { ZooKeeperProxy } from '../harness/zookeeper-proxy.js';

const SESSION_TIMEOUT_MS = 1_500;
let environments = 0;

/** Processes of one cluster, each behind a proxy of its own. */
class Cluster {
  readonly env = `test-${process.pid}-${(environments += 1)}`;
  readonly #made = new Map<Registry, ZooKeeperProxy>();

  constructor(private readonly address: string) {}

  /** One that goes to ZooKeeper without a proxy, when there is none for it. */
  create(proxy?: ZooKeeperProxy): ZooKeeperRegistry {
    const registry = new ZooKeeperRegistry({
      config: {
        servers: [proxy?.address ?? this.address],
        rootPath: '/halley',
        sessionTimeoutMs: SESSION_TIMEOUT_MS,
        connectTimeoutMs: 5_000,
      },
      env: this.env,
      log: silentLogger(),
    });
    if (proxy) this.#made.set(registry, proxy);
    else this.#direct.add(registry);
    return registry;
  }

  readonly #direct = new Set<Registry>();

  async started(): Promise<{ registry: ZooKeeperRegistry; proxy: ZooKeeperProxy }> {
    const proxy = await ZooKeeperProxy.start(this.address);
    const registry = this.create(proxy);
    await registry.start();
    return { registry, proxy };
  }

  proxyOf(registry: Registry): ZooKeeperProxy {
    const proxy = this.#made.get(registry);
    if (!proxy) throw new Error('not of this cluster');
    return proxy;
  }

  async close(): Promise<void> {
    for (const registry of this.#direct) await registry.stop(500);
    for (const [registry, proxy] of this.#made) {
      await registry.stop(500);
      await proxy.close();
    }
  }
}

async function until(holds: () => boolean, withinMs = 10_000): Promise<void> {
  const endMs = performance.now() + withinMs;
  while (!holds()) {
    if (performance.now() > endMs) throw new Error(`did not come about within ${withinMs} ms`);
    await sleep(10);
  }
}

function sharedZooKeeper(): string {
  const address = process.env['HALLEY_TEST_ZOOKEEPER'];
  if (!address) throw new Error('the test run has started no ZooKeeper');
  return address;
}

registryContract('ZooKeeper', async () => {
  const cluster = new Cluster(sharedZooKeeper());
  const proxies: ZooKeeperProxy[] = [];
  for (let i = 0; i < 3; i += 1) proxies.push(await ZooKeeperProxy.start(sharedZooKeeper()));
  return {
    create: () => cluster.create(proxies.shift()),
    kill: async (registry) => cluster.proxyOf(registry).cut(),
    expire: async (registry) => {
      await cluster.proxyOf(registry).expireSession();
      cluster.proxyOf(registry).mend();
    },
    close: async () => {
      await cluster.close();
      for (const proxy of proxies) await proxy.close();
    },
  };
});

describe('the ZooKeeper registry, when a connection is lost', () => {
  let cluster: Cluster;
  beforeEach(() => {
    cluster = new Cluster(sharedZooKeeper());
  });
  afterEach(async () => {
    await cluster.close();
  });

  test('holds its view and says that it is not healthy', async () => {
    const { registry, proxy } = await cluster.started();
    const other = await cluster.started();
    const registration = await other.registry.register(nodeRecord('a'));
    const view = await registry.watch('logic');
    const changes: ViewChange[] = [];
    view.onChange((change) => changes.push(change));

    proxy.cut();
    await registration.deregister();
    await until(() => !registry.healthy());
    await sleep(3 * SESSION_TIMEOUT_MS);
    expect(view.nodes()).toHaveLength(1);
    expect(changes).toEqual([]);

    proxy.mend();
    await until(() => registry.healthy() && view.nodes().length === 0, 4 * SESSION_TIMEOUT_MS);
  });

  test('keeps the session, the entry and the changes that were missed over a short loss', async () => {
    const { registry, proxy } = await cluster.started();
    const other = await cluster.started();
    const view = await other.registry.watch('logic');
    const own = await registry.watch('comet');
    await registry.register(nodeRecord('a'));
    await until(() => view.nodes().length === 1);
    const sessionId = proxy.sessionId;
    let reregistered = false;
    registry.onReregistered(() => (reregistered = true));

    proxy.cut();
    await until(() => !registry.healthy());
    await other.registry.register(nodeRecord('b', { tier: 'comet' }));
    proxy.mend();

    await until(() => own.nodes().length === 1, SESSION_TIMEOUT_MS + 2_000);
    expect(proxy.sessionId).toBe(sessionId);
    expect(reregistered).toBe(false);
    expect(view.nodes()).toHaveLength(1);
  });

  test('answers updates at once and writes what they came to on return', async () => {
    const { registry, proxy } = await cluster.started();
    const other = await cluster.started();
    const view = await other.registry.watch('logic');
    const registration = await registry.register(nodeRecord('a'));
    await until(() => view.nodes().length === 1);
    proxy.cut();
    await until(() => !registry.healthy());

    const startedMs = performance.now();
    await registration.update({ load: { connections: 1, ips: 1 } });
    await registration.update({ state: 'draining' });
    await registration.update({ load: { connections: 2, ips: 2 } });
    expect(performance.now() - startedMs).toBeLessThan(2_000);

    proxy.mend();
    await until(() => view.nodes()[0]?.load.connections === 2);
    expect(view.nodes()[0]?.state).toBe('draining');
  });

  test('removes on return what was deregistered meanwhile', async () => {
    const { registry, proxy } = await cluster.started();
    const other = await cluster.started();
    const view = await other.registry.watch('logic');
    const registration = await registry.register(nodeRecord('a'));
    await until(() => view.nodes().length === 1);
    proxy.cut();
    await until(() => !registry.healthy());
    await registration.deregister();
    proxy.mend();
    await until(() => view.nodes().length === 0, SESSION_TIMEOUT_MS);
    await sleep(SESSION_TIMEOUT_MS);
    expect(view.nodes()).toEqual([]);
  });

  test('leaves a server that does not answer, and opens a new session when none does in time', async () => {
    const { registry, proxy } = await cluster.started();
    const other = await cluster.started();
    const view = await other.registry.watch('logic');
    const own = await registry.watch('logic');
    const registration = await registry.register(nodeRecord('a'));
    await until(() => view.nodes().length === 1);

    proxy.freeze();
    await until(() => !registry.healthy(), 2 * SESSION_TIMEOUT_MS);
    await until(() => view.nodes().length === 0, 2 * SESSION_TIMEOUT_MS);
    proxy.mend();

    await until(() => registry.healthy() && view.nodes().length === 1, 3 * SESSION_TIMEOUT_MS);
    await registration.update({ weight: 5 });
    await until(() => own.nodes()[0]?.weight === 5 && view.nodes()[0]?.weight === 5);
    expect(view.nodes()).toHaveLength(1);
  });

  describe('and sessions with it', () => {
    async function bothExpired() {
      const one = await cluster.started();
      const other = await cluster.started();
      const view = await other.registry.watch('logic');
      await one.registry.register(nodeRecord('a'));
      await until(() => view.nodes().length === 1);
      const left: string[] = [];
      view.onChange((change) => left.push(...change.left.map(({ id }) => id)));
      other.proxy.cut();
      await one.proxy.expireSession();
      await other.proxy.expireSession();
      other.proxy.mend();
      await until(() => other.registry.healthy());
      return { one, view, left };
    }

    test('sees nobody leave who registers again in time', async () => {
      const { one, view, left } = await bothExpired();
      await sleep(SESSION_TIMEOUT_MS / 3);
      expect(view.nodes()).toHaveLength(1);
      one.proxy.mend();
      await until(() => one.registry.healthy());
      await sleep(2 * SESSION_TIMEOUT_MS);
      expect(view.nodes()).toHaveLength(1);
      expect(left).toEqual([]);
    });

    test('sees who does not come back leave, a session timeout later', async () => {
      const { view, left } = await bothExpired();
      await until(() => view.nodes().length === 0, 2 * SESSION_TIMEOUT_MS);
      expect(left).toEqual(['a']);
    });
  });

  test('does not start without ZooKeeper, and says where it looked', async () => {
    const registry = new ZooKeeperRegistry({
      config: {
        servers: ['127.0.0.1:1'],
        rootPath: '/halley',
        sessionTimeoutMs: 1_000,
        connectTimeoutMs: 300,
      },
      env: 'none',
      log: silentLogger(),
    });
    await expect(registry.start()).rejects.toMatchObject({
      code: 'registry_unavailable',
      message: expect.stringContaining('127.0.0.1:1'),
    });
  });
});

describe('the ZooKeeper registry and entries of other sessions', () => {
  let cluster: Cluster;
  let client: Client;
  const path = (): string => `/halley/${cluster.env}/logic/a`;
  const write = (record: unknown): Promise<void> =>
    new Promise((resolve, reject) => {
      const data = Buffer.from(JSON.stringify(record));
      client.create(path(), data, CreateMode.EPHEMERAL, (error) => (error ? reject(error) : resolve()));
    });
  const remove = (): Promise<void> =>
    new Promise((resolve, reject) =>
      client.remove(path(), -1, (error) => (error ? reject(error) : resolve())),
    );

  beforeEach(async () => {
    cluster = new Cluster(sharedZooKeeper());
    client = createClient(sharedZooKeeper());
    await new Promise<void>((resolve) => {
      client.once('connected', resolve);
      client.connect();
    });
  });
  afterEach(async () => {
    client.close();
    await cluster.close();
  });

  test('replaces its own entry of an earlier session without ever being away', async () => {
    const one = await cluster.started();
    const other = await cluster.started();
    const view = await other.registry.watch('logic');
    const registration = await one.registry.register(nodeRecord('a'));
    await until(() => view.nodes().length === 1);
    const left: unknown[] = [];
    view.onChange((change) => left.push(...change.left));

    // What it left behind itself, as after a session that ended for the client before the server ended it.
    await remove();
    await write(nodeRecord('a'));
    await until(() => view.nodes().length === 1);
    left.length = 0;
    await registration.update({ weight: 42 });
    await until(() => view.nodes()[0]?.weight === 42);

    client.close();
    await sleep(2 * SESSION_TIMEOUT_MS);
    expect(view.nodes()).toMatchObject([{ weight: 42 }]);
    expect(left).toEqual([]);
  });

  test('gives up its name to a process that was started later', async () => {
    const { registry } = await cluster.started();
    const view = await registry.watch('logic');
    const registration = await registry.register(nodeRecord('a', { registeredAtMs: 1_000 }));
    await remove();
    await write(nodeRecord('a', { incarnation: 'later', registeredAtMs: 2_000 }));

    await registration.update({ weight: 42 });
    await sleep(SESSION_TIMEOUT_MS);

    expect(view.nodes()).toMatchObject([{ incarnation: 'later', weight: 10 }]);
    await registration.deregister();
    await sleep(200);
    expect(view.nodes()).toHaveLength(1);
  });

  test('takes its name back from what an earlier start has left', async () => {
    const { registry } = await cluster.started();
    const view = await registry.watch('logic');
    await registry.register(nodeRecord('a', { registeredAtMs: 1_000 }));
    await remove();
    await write(nodeRecord('a', { incarnation: 'earlier', registeredAtMs: 500 }));
    await until(() => view.nodes()[0]?.incarnation === 'a#1', 2 * SESSION_TIMEOUT_MS);
    expect(view.nodes()).toHaveLength(1);
  });

  test('makes its entry again when somebody removes it', async () => {
    const { registry } = await cluster.started();
    const view = await registry.watch('logic');
    await registry.register(nodeRecord('a'));
    await remove();
    await until(() => view.nodes().length === 0);
    await until(() => view.nodes().length === 1, 2 * SESSION_TIMEOUT_MS);
    expect(view.nodes()[0]?.incarnation).toBe('a#1');
  });

  test('passes over what is no node', async () => {
    const { registry } = await cluster.started();
    const view = await registry.watch('logic');
    await registry.register(nodeRecord('b'));
    await write('no node');
    await until(() => view.nodes().length === 1);
    await remove();
    await write({ ...nodeRecord('a'), fieldOfALaterVersion: true });
    await until(() => view.nodes().length === 2);
    expect(view.nodes()).toContainEqual(nodeRecord('a'));
  });
});

describe('the ZooKeeper registry, when ZooKeeper itself fails', () => {
  let zookeeper: RunningService;
  let cluster: Cluster;

  beforeAll(async () => {
    zookeeper = await startZooKeeper();
  });
  afterAll(async () => {
    await zookeeper.stop();
  });
  beforeEach(() => {
    cluster = new Cluster(zookeeper.address);
  });
  afterEach(async () => {
    await cluster.close();
  });

  async function twoNodes() {
    const [one, other] = [cluster.create(), cluster.create()];
    await Promise.all([one.start(), other.start()]);
    const view = await other.watch('logic');
    const registration = await one.register(nodeRecord('a'));
    await other.register(nodeRecord('b'));
    await until(() => view.nodes().length === 2);
    const left: string[] = [];
    view.onChange((change) => left.push(...change.left.map(({ id }) => id)));
    return { one, other, view, registration, left };
  }

  test('is whole again after it was killed and started, with nobody seen to leave', async () => {
    const { one, other, view, registration, left } = await twoNodes();

    await zookeeper.kill();
    await until(() => !one.healthy() && !other.healthy());
    await registration.update({ weight: 77 });
    await sleep(2 * SESSION_TIMEOUT_MS);
    expect(view.nodes()).toHaveLength(2);
    await zookeeper.restart();

    await until(() => one.healthy() && other.healthy());
    await until(() => view.nodes().some(({ weight }) => weight === 77));
    await sleep(2 * SESSION_TIMEOUT_MS);
    expect(view.nodes()).toHaveLength(2);
    expect(left).toEqual([]);
  });

  test('is whole again after it stood still for longer than a session', async () => {
    const { one, other, view, registration, left } = await twoNodes();
    const pid = zookeeper.pid;
    if (pid === undefined) throw new Error('ZooKeeper does not run');

    process.kill(pid, 'SIGSTOP');
    await until(() => !one.healthy() && !other.healthy(), 3 * SESSION_TIMEOUT_MS);
    await registration.update({ weight: 78 });
    await sleep(SESSION_TIMEOUT_MS);
    expect(view.nodes()).toHaveLength(2);
    process.kill(pid, 'SIGCONT');

    await until(() => one.healthy() && other.healthy());
    await until(() => view.nodes().some(({ weight }) => weight === 78));
    await sleep(2 * SESSION_TIMEOUT_MS);
    expect(view.nodes()).toHaveLength(2);
    expect(left).toEqual([]);
  });
});
