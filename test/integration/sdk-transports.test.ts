import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import os from 'node:os';
import path from 'node:path';
import { pathToFileURL } from 'node:url';

import { afterAll, afterEach, beforeAll, expect, test } from '@jest/globals';
import type * as Browser from '@halley/client/browser';
import { createClient, type Client, type NodeClientOptions, type TransportName } from '@halley/client/node';
import WebSocket from 'ws';

import { type StartedHalley, startHalley } from '../harness/halley-process.js';
import { HttpPusher } from '../harness/pushers.js';
import { newMid } from '../harness/unique.js';
import { within } from '../harness/within.js';
import { type Limits, LimitingProxy } from './limiting-proxy.js';

/** One started server, proxies in front of it that let through only some, and clients of the SDK behind those. */
let halley: StartedHalley;
let pusher: HttpPusher;
let ws = '';
const ended: (() => unknown)[] = [];

beforeAll(async () => {
  halley = await startHalley(['--push.durableRooms', 'kept://*']);
  pusher = new HttpPusher([halley.target.logicHttp]);
  ws = halley.target.ws.replace('/sub', '');
}, 60_000);

afterEach(async () => {
  for (const end of ended.splice(0).toReversed()) await end();
});

afterAll(async () => {
  pusher?.close();
  await halley?.stop();
});

async function proxyWith(limits: Limits): Promise<LimitingProxy> {
  const proxy = await LimitingProxy.start(ws, limits);
  ended.push(() => proxy.stop());
  return proxy;
}

const tokenOf = (mid: bigint): string => `{"mid":${mid},"key":"k${mid}","platform":"test","accepts":[1000]}`;

/** A client, what it was shown by streams, and what else it told. */
class Device {
  readonly mid = newMid();
  readonly shown = new Map<string, string[]>();
  readonly told: string[] = [];
  readonly transports: TransportName[] = [];
  readonly states: string[] = [];
  readonly client: Client;

  constructor(
    options: Partial<NodeClientOptions>,
    make: (options: NodeClientOptions) => Client = createClient,
  ) {
    this.client = make({
      token: tokenOf(this.mid),
      WebSocket: WebSocket as never,
      backoff: { baseMs: 50, maxMs: 200 },
      handshakeTimeoutMs: 700,
      upgradeAfterMs: 300,
      ...options,
    });
    ended.push(() => this.client.close());
    this.client.on('message', ({ stream, body }) => {
      const list = this.shown.get(stream) ?? [];
      this.shown.set(stream, [...list, new TextDecoder().decode(body)]);
    });
    this.client.on('gap', ({ reason }) => void this.told.push(`gap ${reason}`));
    this.client.on('error', ({ code, message }) => void this.told.push(`${code} ${message}`));
    this.client.on('transport', (name) => void this.transports.push(name));
    this.client.on('state', ({ name }) => void this.states.push(name));
  }

  of(stream: string): readonly string[] {
    return this.shown.get(stream) ?? [];
  }

  async until(what: string, holds: () => boolean): Promise<void> {
    const all = async (): Promise<void> => {
      while (!holds()) await new Promise((resolve) => setTimeout(resolve, 5));
    };
    const why = (): string =>
      `${what}; ${this.transports.join()}, ${this.states.join()}, told ${this.told.join()}, shown ${JSON.stringify([...this.shown])}`;
    await within(all(), 10_000, why);
  }
}

const numbers = (count: number, name: string): readonly string[] =>
  Array.from({ length: count }, (_, index) => `${name}${index}`);

/** Sends that may be on the way at the same time. */
const UNANSWERED = 5;

/** Pushes to a user and sends to a room, one after the other, until it is told to stop; answers how many. */
function traffic(device: Device, room: string): { stop(): Promise<number> } {
  let stopped = false;
  const run = async (): Promise<number> => {
    let count = 0;
    const sends: Promise<unknown>[] = [];
    for (; !stopped; count += 1) {
      await sends.at(-UNANSWERED);
      sends.push(device.client.send({ room, operation: 1_000, body: `r${count}` }));
      expect(await pusher.push({ mid: device.mid }, 1_000, `m${count}`)).toEqual({ outcome: 'ok' });
    }
    await Promise.all(sends);
    return count;
  };
  const running = run();
  return {
    stop: () => {
      stopped = true;
      return running;
    },
  };
}

test('one client moves from TCP over all transports in the middle of traffic: each message once, in order', async () => {
  const device = new Device({ addresses: [`tcp://${halley.target.tcp}`, ws] });
  const { client, mid } = device;
  const room = `kept://moves-${mid}`;
  await client.useTransport('tcp');
  await client.connect();
  await client.join(room);
  const running = traffic(device, room);
  const moves: readonly TransportName[] = ['websocket', 'sse', 'poll', 'websocket', 'tcp', 'poll'];
  for (const name of moves) {
    const before = device.of(`u/${mid}`).length;
    await device.until('traffic', () => device.of(`u/${mid}`).length >= before + 6);
    await client.useTransport(name);
    expect(client.transport).toBe(name);
  }
  const count = await running.stop();
  await device.until(
    `all ${count}`,
    () => device.of(`u/${mid}`).length >= count && device.of(`r/${room}`).length >= count,
  );
  expect(device.of(`u/${mid}`)).toEqual(numbers(count, 'm'));
  expect(device.of(`r/${room}`)).toEqual(numbers(count, 'r'));
  expect(device.transports).toEqual(['tcp', ...moves]);
  expect(device.told).toEqual([]);
  // The first one may take more than an attempt where the cluster is busy with its start.
  expect(device.states.slice(device.states.indexOf('connected'))).not.toContain('waiting');
}, 30_000);

test.each<[Limits, readonly TransportName[]]>([
  [{ webSocket: 'refused' }, ['sse', 'websocket']],
  [{ webSocket: 'refused', sse: 'refused' }, ['poll', 'websocket']],
  [{ webSocket: 'hangs', sse: 'buffered' }, ['poll', 'websocket']],
])(
  'behind a proxy with %j it goes %j, the second when the proxy lets it',
  async (limits, transports) => {
    const proxy = await proxyWith(limits);
    const device = new Device({
      addresses: proxy.address,
      fallbackAfter: limits.webSocket === 'hangs' ? 1 : 2,
    });
    const { client, mid } = device;
    await client.connect();
    const room = `kept://proxy-${mid}`;
    await client.join(room);
    const running = traffic(device, room);
    await device.until('traffic', () => device.of(`u/${mid}`).length >= 10);
    expect(device.transports[0]).toBe(transports[0]);
    proxy.limits = {};
    await device.until('going up', () => client.transport === transports[1]);
    const count = await running.stop();
    await device.until(
      'all',
      () => device.of(`u/${mid}`).length >= count && device.of(`r/${room}`).length >= count,
    );
    expect(device.of(`u/${mid}`)).toEqual(numbers(count, 'm'));
    expect(device.of(`r/${room}`)).toEqual(numbers(count, 'r'));
    expect(device.told).toEqual([]);
  },
  30_000,
);

test.each(['sse', 'poll'] as const)(
  'by %s answers that are lost cost nothing',
  async (name) => {
    const proxy = await proxyWith({ losesEvery: 5 });
    const device = new Device({ addresses: proxy.address, transports: [name] });
    const { client, mid } = device;
    await client.connect();
    const room = `kept://lost-${mid}`;
    await client.join(room);
    const running = traffic(device, room);
    await device.until('losses', () => proxy.lost >= 4);
    const count = await running.stop();
    await device.until(
      'all',
      () => device.of(`u/${mid}`).length >= count && device.of(`r/${room}`).length >= count,
    );
    expect(device.of(`u/${mid}`)).toEqual(numbers(count, 'm'));
    expect(device.of(`r/${room}`)).toEqual(numbers(count, 'r'));
    expect(device.states.slice(device.states.indexOf('connected'))).toEqual(['connected']);
    expect(device.told).toEqual([]);
  },
  30_000,
);

test.each(['sse', 'poll'] as const)(
  'by %s it is told why the server closes, and connects again after a break',
  async (name) => {
    const proxy = await proxyWith({});
    const device = new Device({ addresses: proxy.address, transports: [name] });
    await device.client.connect();
    proxy.cut();
    if (name === 'sse')
      await device.until('again', () => device.states.filter((s) => s === 'connected').length === 2);
    await device.client.send({ toMid: device.mid, operation: 1_000, body: 'on' });
    await device.until('on', () => device.of(`u/${device.mid}`).length === 1);
    const bad = new Device({ addresses: proxy.address, transports: [name], token: '{"mid":"nobody"}' });
    await expect(bad.client.connect()).rejects.toMatchObject({ code: 'bad_token', closeCode: 3500 });
  },
);

test('the files for browsers fall back too: the second one is loaded then', async () => {
  const proxy = await proxyWith({ webSocket: 'refused' });
  const made = (await import(new URL('../../packages/client/bundle.mjs', import.meta.url).href)) as {
    readonly bundleFiles: () => Promise<ReadonlyMap<string, string>>;
  };
  const dir = await mkdtemp(path.join(os.tmpdir(), 'halley-bundle-'));
  ended.push(() => rm(dir, { recursive: true }));
  await writeFile(path.join(dir, 'package.json'), '{"type":"module"}');
  for (const [name, text] of await made.bundleFiles()) await writeFile(path.join(dir, name), text);
  const main = pathToFileURL(path.join(dir, 'halley-client.js')).href;
  const browser = (await import(main)) as typeof Browser;
  Object.assign(globalThis, { WebSocket });
  const device = new Device({ addresses: proxy.address, checksum: true }, browser.createClient as never);
  const { client, mid } = device;
  await client.connect();
  expect(client.transport).toBe('sse');
  await client.send({ toMid: mid, operation: 1_000, body: 'é'.repeat(1_000) });
  proxy.limits = {};
  await device.until('going up', () => client.transport === 'websocket');
  await client.send({ toMid: mid, operation: 1_000, body: 'two' });
  await device.until('both', () => device.of(`u/${mid}`).length === 2);
  expect(device.of(`u/${mid}`)).toEqual(['é'.repeat(1_000), 'two']);
});
