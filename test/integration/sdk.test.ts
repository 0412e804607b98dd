import { spawn } from 'node:child_process';
import { mkdtemp, rm } from 'node:fs/promises';
import os from 'node:os';
import path from 'node:path';
import { fileURLToPath } from 'node:url';

import { afterAll, afterEach, beforeAll, beforeEach, expect, test } from '@jest/globals';
import type * as Browser from '@halley/client/browser';
import {
  createClient,
  fileStore,
  weightedNodes,
  type Client,
  type NodeClientOptions,
} from '@halley/client/node';
import WebSocket from 'ws';

import { HalleyProcess } from '../harness/halley-process.js';
import { HttpPusher } from '../harness/pushers.js';
import { freePortOffset, PORTS } from '../harness/ports.js';
import { newMid } from '../harness/unique.js';
import { within } from '../harness/within.js';

/** A server that can be killed and started again on its data, and clients of the SDK on it. */
let dir = '';
let offset = 0;
let server: HalleyProcess;
let pusher: HttpPusher;
let devices: Device[] = [];

function start(): Promise<HalleyProcess> {
  const args = ['--port-offset', String(offset), '--data-dir', path.join(dir, 'data')];
  return HalleyProcess.start(['start', ...args, '--push.durableRooms', 'kept://*,chat://*'], { cwd: dir });
}

/** A client, and what it was shown. */
class Device {
  readonly shown: string[] = [];
  readonly told: string[] = [];
  readonly client: Client;

  constructor(options: Omit<Partial<NodeClientOptions>, 'token'> & { readonly token: string }) {
    this.client = createClient({
      addresses: `tcp://127.0.0.1:${PORTS.tcp + offset}`,
      WebSocket: WebSocket as never,
      backoff: { baseMs: 100, maxMs: 500 },
      ...options,
    });
    devices.push(this);
    this.client.on('message', ({ body }) => void this.shown.push(Buffer.from(body).toString()));
    this.client.on('gap', ({ reason }) => void this.told.push(`gap ${reason}`));
    this.client.on('error', ({ code }) => void this.told.push(code));
  }

  /** Waits until so many messages were shown, and answers them all. */
  async until(count: number): Promise<readonly string[]> {
    await until(
      () => this.shown.length >= count,
      () => `shown: ${this.shown.join(' ')}, told: ${this.told.join(' ')}`,
    );
    return this.shown;
  }
}

async function until(holds: () => boolean, why: () => string): Promise<void> {
  const all = async (): Promise<void> => {
    while (!holds()) await new Promise((resolve) => setTimeout(resolve, 10));
  };
  await within(all(), 15_000, why);
}

const token = (mid: bigint, key: string, more = ''): string =>
  `{"mid":${mid},"key":"${key}","platform":"test","accepts":[1000]${more}}`;
const ws = (): { readonly addresses: string } => ({ addresses: `ws://127.0.0.1:${PORTS.ws + offset}` });

beforeAll(async () => {
  dir = await mkdtemp(path.join(os.tmpdir(), 'halley-sdk-'));
  offset = await freePortOffset();
  server = await start();
}, 60_000);

afterAll(async () => {
  await server.stop();
  await rm(dir, { recursive: true, force: true });
});

beforeEach(() => {
  devices = [];
  pusher = new HttpPusher([`http://127.0.0.1:${PORTS.logicHttp + offset}`]);
});

afterEach(() => {
  for (const { client } of devices) client.close();
  pusher.close();
});

test('what is pushed to a user is shown on all devices, over TCP and WebSocket, in order', async () => {
  const mid = newMid();
  // As an app does: logic says where to connect to.
  const nodes = weightedNodes(`http://127.0.0.1:${PORTS.logicHttp + offset}`, {
    scheme: 'tcp',
    platform: 'ios',
  });
  const phone = new Device({ token: token(mid, `p${mid}`), addresses: [], nodes });
  const desk = new Device({ token: token(mid, `d${mid}`), ...ws(), checksum: true });
  await Promise.all([phone.client.connect(), desk.client.connect()]);
  const bodies = Array.from({ length: 100 }, (_, index) => `${index}`);
  for (const body of bodies) expect(await pusher.push({ mid }, 1_000, body)).toEqual({ outcome: 'ok' });
  expect(await phone.until(100)).toEqual(bodies);
  expect(await desk.until(100)).toEqual(bodies);
  expect([...phone.told, ...desk.told]).toEqual([]);
});

test('clients send to each other, and the sender sees its message too', async () => {
  const [alice, bob] = [newMid(), newMid()];
  const a = new Device({ token: token(alice, `a${alice}`) });
  const b = new Device({ token: token(bob, `b${bob}`), ...ws() });
  await Promise.all([a.client.connect(), b.client.connect()]);
  const all = Array.from({ length: 20 }, (_, index) =>
    a.client.send({ toMid: bob, operation: 1_000, body: `hello ${index}`, clientId: `c${index}` }),
  );
  await Promise.all(all);
  const bodies = Array.from({ length: 20 }, (_, index) => `hello ${index}`);
  expect(await b.until(20)).toEqual(bodies);
  expect(await a.until(20)).toEqual(bodies);
  const again = await a.client.send({ toMid: bob, operation: 1_000, body: 'hello 3', clientId: 'c3' });
  expect(again.duplicate).toBe(true);
  await expect(a.client.send({ toMid: bob, operation: 20, body: 'x' })).rejects.toMatchObject({
    outcome: 'refused',
  });
});

test('a kept room is joined, resumed where it was left, and has a history', async () => {
  const [alice, bob] = [newMid(), newMid()];
  const room = `kept://${alice}`;
  const a = new Device({ token: token(alice, `a${alice}`) });
  const b = new Device({ token: token(bob, `b${bob}`), ...ws() });
  await Promise.all([a.client.connect(), b.client.connect()]);
  expect(await a.client.join(room)).toMatchObject({ room, durable: true });
  expect(await b.client.join(room)).toMatchObject({ room, durable: true });
  for (let index = 0; index < 30; index += 1) {
    await a.client.send({ room, operation: 1_000, body: `${index}` });
  }
  const bodies = Array.from({ length: 30 }, (_, index) => `${index}`);
  expect(await b.until(30)).toEqual(bodies);
  expect(await a.until(30)).toEqual(bodies);
  const read: string[] = [];
  for await (const { body } of b.client.history({ room }, { pageSize: 7 }))
    read.push(Buffer.from(body).toString());
  expect(read).toEqual(bodies.toReversed());
  await b.client.leave(room);
  await a.client.send({ room, operation: 1_000, body: 'behind' });
  expect(await a.until(31)).toHaveLength(31);
  expect(b.shown).toHaveLength(30);
});

test('typing, read positions and presence reach the others', async () => {
  const [alice, bob] = [newMid(), newMid()];
  const a = new Device({ token: token(alice, `a${alice}`) });
  const other = new Device({ token: token(alice, `o${alice}`) });
  const b = new Device({ token: token(bob, `b${bob}`), ...ws() });
  const heard: string[] = [];
  b.client.on(
    'ephemeral',
    ({ fromMid, body }) => void heard.push(`typing ${fromMid} ${Buffer.from(body).toString()}`),
  );
  b.client.on('presence', (users) => {
    for (const { mid, online } of users) heard.push(`${mid} ${online ? 'online' : 'away'}`);
  });
  const reads: string[] = [];
  other.client.on('receipts', (positions) => {
    for (const { stream, unread } of positions) reads.push(`${stream} ${unread}`);
  });
  await Promise.all([b.client.connect(), a.client.connect(), other.client.connect()]);
  expect(await b.client.watch(String(alice))).toMatchObject([{ mid: String(alice), online: true }]);
  a.client.sendEphemeral({ toMid: bob, operation: 1_000, body: 'now' });
  await until(
    () => heard.includes(`typing ${alice} now`),
    () => heard.join(),
  );
  await b.client.send({ toMid: alice, operation: 1_000, body: 'read me' });
  await b.client.send({ toMid: alice, operation: 1_000, body: 'and me' });
  let last: { stream: string; epoch: string; position: number } | undefined;
  a.client.on('message', (message) => (last ??= message));
  await pusher.push({ mid: alice }, 1_000, 'three');
  await until(
    () => a.shown.length === 3,
    () => a.shown.join(),
  );
  if (!last) throw new Error('nothing was shown');
  expect(await a.client.markRead(last)).toMatchObject({ stream: `u/${alice}`, position: last.position });
  await until(
    () => reads.length > 0,
    () => reads.join(),
  );
  a.client.close();
  other.client.close();
  await until(
    () => heard.includes(`${alice} away`),
    () => heard.join(),
  );
});

test('a server that is killed and started again loses nothing: sends and cursors go on, on file', async () => {
  const [alice, bob] = [newMid(), newMid()];
  const room = `kept://kill-${alice}`;
  const a = new Device({ token: token(alice, `a${alice}`), ...ws() });
  const file = path.join(dir, `${bob}.json`);
  const first = new Device({ token: token(bob, `b${bob}`), store: fileStore(file) });
  await Promise.all([a.client.connect(), first.client.connect()]);
  await Promise.all([a.client.join(room), first.client.join(room)]);
  const bodies = Array.from({ length: 60 }, (_, index) => `${index}`);
  const sends = bodies.map((body, index) =>
    a.client.send({ ...(index % 2 ? { room } : { toMid: bob }), operation: 1_000, body }),
  );
  await first.until(10);
  await server.kill();
  server = await start();
  await first.until(20);
  first.client.close();
  const shownFirst = [...first.shown];
  await server.kill();
  server = await start();
  const second = new Device({ token: token(bob, `b${bob}`), store: fileStore(file) });
  await second.client.connect();
  await second.client.join(room);
  await Promise.all(sends);
  await second.until(60 - shownFirst.length);
  const all = [...shownFirst, ...second.shown];
  for (const odd of [0, 1]) {
    const ofOne = (list: readonly string[]): string[] => list.filter((body) => Number(body) % 2 === odd);
    expect(ofOne(all)).toEqual(ofOne(bodies));
  }
  expect([...first.told, ...second.told]).toEqual([]);
}, 180_000);

test('the one file for browsers works', async () => {
  const made = (await import(new URL('../../packages/client/bundle.mjs', import.meta.url).href)) as {
    readonly bundle: () => Promise<string>;
  };
  const text = Buffer.from(await made.bundle()).toString('base64');
  const browser = (await import(`data:text/javascript;base64,${text}`)) as typeof Browser;
  Object.assign(globalThis, { WebSocket });
  const mid = newMid();
  const client = browser.createClient({ ...ws(), token: token(mid, `w${mid}`) } as never);
  const shown: string[] = [];
  client.on('message', ({ body }) => void shown.push(new TextDecoder().decode(body)));
  try {
    await client.connect();
    await client.send({ toMid: mid, operation: 1_000, body: 'é'.repeat(1_000) });
    await until(
      () => shown.length > 0,
      () => 'nothing was shown',
    );
    expect(shown).toEqual(['é'.repeat(1_000)]);
  } finally {
    client.close();
  }
});

test('the example for Node joins, sends, shows, and goes on where it was', async () => {
  const example = fileURLToPath(new URL('../../packages/client/examples/node.mjs', import.meta.url));
  const mid = String(newMid());
  const env = { ...process.env, NODE_OPTIONS: '', CURSORS: path.join(dir, 'example.json') };
  const run = async (text: string, shows: RegExp): Promise<string> => {
    const child = spawn(process.execPath, [example, `tcp://127.0.0.1:${PORTS.tcp + offset}`, mid, text], {
      env,
    });
    let output = '';
    child.stdout.on('data', (chunk: Buffer) => (output += chunk.toString()));
    child.stderr.on('data', (chunk: Buffer) => (output += chunk.toString()));
    const ended = new Promise((resolve) => child.once('close', resolve));
    try {
      await until(
        () => shows.test(output),
        () => output,
      );
    } finally {
      child.kill('SIGINT');
      await ended;
    }
    return output;
  };
  expect(await run('one', /lobby.*: one/)).toContain('joined chat://lobby');
  const second = await run('two', /lobby.*: two/);
  expect(second).toContain(`from ${mid}: two`);
  expect(second).not.toContain(': one');
}, 60_000);
