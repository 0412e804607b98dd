import { mkdtemp, rm } from 'node:fs/promises';
import os from 'node:os';
import path from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';

import { afterEach, expect, test } from '@jest/globals';

import { startCluster, type TestCluster } from '../harness/cluster.js';
import type { GoimClient, Transport } from '../harness/goim-client.js';
import { HalleyProcess, targetAt } from '../harness/halley-process.js';
import { freePortOffset } from '../harness/ports.js';
import { GrpcPusher, HttpPusher, type Pusher } from '../harness/pushers.js';
import { TcpClient } from '../harness/tcp-client.js';
import { connectTo } from '../harness/traffic.js';
import { newKey, newMid, newOp } from '../harness/unique.js';
import { WsClient } from '../harness/ws-client.js';

/** What was answered with OK while its users were away outlives everything, and comes once. */
const USERS = 12;
const PUSHES = 5;
/** A second copy would be right behind. */
const SECOND_COPY_MS = 300;

const cleanUps: (() => Promise<unknown>)[] = [];

afterEach(async () => {
  for (const cleanUp of cleanUps.splice(0).reverse()) await cleanUp();
}, 30_000);

interface Away {
  readonly mid: bigint;
  readonly key: string;
}

type Open = (index: number) => Promise<GoimClient>;

/** Users who were here with keys of their own, and have left. */
async function usersAway(open: Open, op: number): Promise<Away[]> {
  const users = Array.from({ length: USERS }, () => ({ mid: newMid(), key: newKey() }));
  for (const [index, { mid, key }] of users.entries()) {
    const client = await open(index);
    await client.auth({ mid, key, accepts: [op] });
    client.close();
  }
  return users;
}

/** Every second one is pushed to by key. */
async function pushAll(pushers: readonly Pusher[], users: readonly Away[], op: number): Promise<void> {
  for (let count = 0; count < PUSHES; count += 1)
    for (const [index, { mid, key }] of users.entries()) {
      const pusher = pushers[count % pushers.length];
      expect(await pusher?.push(index % 2 === 0 ? { mid } : { key }, op, `${index}/${count}`)).toEqual({
        outcome: 'ok',
      });
    }
}

/** They come back, each gets what it missed, and then what comes next. */
async function expectOnce(
  open: Open,
  pushers: readonly Pusher[],
  users: readonly Away[],
  op: number,
): Promise<void> {
  const clients = await Promise.all(
    users.map(async ({ mid, key }, index) => {
      const client = await open(index);
      await client.auth({ mid, key, accepts: [op] });
      return client;
    }),
  );
  const missed = await Promise.all(clients.map((client) => client.take(PUSHES, 20_000)));
  await sleep(SECOND_COPY_MS);
  const got = await Promise.all(
    clients.map(async (client, index) => {
      const { mid } = users[index]!;
      expect(await pushers[0]!.push({ mid }, op, 'next')).toEqual({ outcome: 'ok' });
      return [...(missed[index] ?? []), await client.next(20_000)].map(({ body }) => body.toString());
    }),
  );
  expect(got).toEqual(
    users.map((_, index) => [
      ...Array.from({ length: PUSHES }, (_one, count) => `${index}/${count}`),
      'next',
    ]),
  );
  for (const client of clients) {
    expect(client.waiting).toEqual([]);
    client.close();
  }
}

const transportOf = (index: number): Transport => (index % 4 < 2 ? 'tcp' : 'ws');

function clusterParts(cluster: TestCluster): { open: Open; pushers: Pusher[] } {
  const pushers = [
    new HttpPusher([`http://${cluster.address('logic-1', 'http')}`]),
    new GrpcPusher([cluster.address('logic-1', 'grpc')]),
  ];
  cleanUps.push(async () => pushers.forEach((pusher) => pusher.close()));
  return { open: (index) => connectTo(cluster, `comet-${1 + (index % 2)}`, transportOf(index)), pushers };
}

test('on a cluster whose nodes and services are all killed at once and started again, Redis empty', async () => {
  const cluster = await startCluster({ comets: 2, logics: 1, jobs: 1 });
  cleanUps.push(() => cluster.stop());
  const { open, pushers } = clusterParts(cluster);
  const op = newOp();
  const users = await usersAway(open, op);
  await pushAll(pushers, users, op);
  const services = Object.values(cluster.services);
  const { nodes } = cluster.cluster;
  await Promise.all([...nodes, ...services].map((one) => one.kill()));
  await Promise.all(services.map((service) => service.start()));
  await Promise.all(nodes.map((node) => node.start()));
  await expectOnce(open, pushers, users, op);
}, 150_000);

test('on a server of its own, killed as soon as the last push is answered', async () => {
  const dir = await mkdtemp(path.join(os.tmpdir(), 'halley-killed-'));
  cleanUps.push(() => rm(dir, { recursive: true, force: true }));
  const offset = await freePortOffset();
  const target = targetAt(offset);
  const start = async (): Promise<HalleyProcess> => {
    const args = ['start', '--port-offset', String(offset), '--data-dir', path.join(dir, 'data')];
    const halley = await HalleyProcess.start(args, { cwd: dir });
    cleanUps.push(() => halley.kill());
    return halley;
  };
  const halley = await start();
  const pushers = [new HttpPusher([target.logicHttp]), new GrpcPusher([target.logicGrpc])];
  cleanUps.push(async () => pushers.forEach((pusher) => pusher.close()));
  const open: Open = (index) =>
    transportOf(index) === 'tcp' ? TcpClient.connect(target.tcp) : WsClient.connect(target.ws);
  const op = newOp();
  const users = await usersAway(open, op);
  await pushAll(pushers, users, op);
  await halley.kill();
  await start();
  await expectOnce(open, pushers, users, op);
}, 90_000);
