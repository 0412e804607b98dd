import { randomInt } from 'node:crypto';
import { mkdtemp, rm } from 'node:fs/promises';
import os from 'node:os';
import path from 'node:path';

import { afterAll, beforeAll, expect, test } from '@jest/globals';
import { Random } from '@halley/bench/random';

import type { GoimClient } from '../harness/goim-client.js';
import { HalleyProcess, targetAt } from '../harness/halley-process.js';
import { HttpApi } from '../harness/http.js';
import { NumberedPushes } from '../harness/numbered.js';
import { freePortOffset } from '../harness/ports.js';
import { HttpPusher } from '../harness/pushers.js';
import type { Target } from '../harness/target.js';
import { TcpClient } from '../harness/tcp-client.js';
import { newKey, newMid, newOp } from '../harness/unique.js';
import { eventually } from '../harness/within.js';
import { WsClient } from '../harness/ws-client.js';

/** The embedded server is killed again and again in the middle of writing, in one folder. */
const KILLS = Number(process.env['HALLEY_TEST_START_KILLS'] ?? 12);
const SEED = Number(process.env['HALLEY_TEST_SEED'] ?? randomInt(2 ** 31));
const USERS = 4;
const CAUGHT_UP_MS = 20_000;
const MAX_PAGE = 1_000;

/** A user with one goim device that comes back with its key after each kill. */
interface User {
  readonly mid: bigint;
  readonly key: string;
  readonly pushes: NumberedPushes;
  /** Numbers that its device was shown, over all connections. */
  readonly shown: Set<number>;
  /** Position by number, as the history had it last. */
  readonly history: Map<number, number>;
  client: GoimClient | undefined;
}

let dir: string;
let offset: number;
let target: Target;
let halley: HalleyProcess | undefined;
let api: HttpApi;
const op = newOp();
const users: User[] = Array.from({ length: USERS }, (_, index) => {
  const mid = newMid();
  const pushes = new NumberedPushes(`user-${index}`, { mid }, op, 'x'.repeat(index * 200));
  return { mid, key: newKey(), pushes, shown: new Set(), history: new Map(), client: undefined };
});

beforeAll(async () => {
  dir = await mkdtemp(path.join(os.tmpdir(), 'halley-start-kill-'));
  offset = await freePortOffset();
  target = targetAt(offset);
  api = new HttpApi(target.logicHttp);
});

afterAll(async () => {
  api.close();
  for (const { client } of users) client?.close();
  await halley?.kill();
  await rm(dir, { recursive: true, force: true });
});

async function startAgain(): Promise<void> {
  const args = ['start', '--port-offset', String(offset), '--data-dir', path.join(dir, 'data')];
  halley = await HalleyProcess.start(args, { cwd: dir });
  for (const [index, user] of users.entries()) {
    user.client = await (index % 2 === 0 ? TcpClient.connect(target.tcp) : WsClient.connect(target.ws));
    await user.client.auth({ mid: user.mid, key: user.key, accepts: [op] });
  }
}

function accepted({ pushes }: User): number[] {
  return [...pushes.answers.keys()].filter((number) => pushes.answers[number]?.outcome === 'ok');
}

/** Pushes to everybody until so many were accepted, and kills in the middle of the next ones. */
async function pushUntilKilled(count: number): Promise<void> {
  const pushers = users.map(() => new HttpPusher([target.logicHttp]));
  let accepts = 0;
  let killed = false;
  await Promise.all(
    users.map(async (user, index) => {
      while (!killed) {
        const { outcome } = await user.pushes.push(pushers[index]!);
        if (outcome === 'ok') accepts += 1;
        if (accepts < count || killed) continue;
        killed = true;
        await halley?.kill();
      }
    }),
  );
  for (const pusher of pushers) pusher.close();
}

/** What a device was shown in one connection: each number once, and in order. */
function take(user: User): void {
  const { client, pushes, shown } = user;
  let last = -1;
  for (const { body } of client?.waiting ?? []) {
    const [name, text] = body.toString().split('/');
    const number = Number(text);
    expect({ name, number: number > last && number < pushes.next ? 'next' : number, last }).toEqual({
      name: pushes.name,
      number: 'next',
      last,
    });
    last = number;
    shown.add(number);
  }
  expect(client?.breaches ?? []).toEqual([]);
}

/** Takes over what the history has above what was known: each number once, in order, with growing positions. */
async function readHistory({ mid, pushes, history }: User): Promise<void> {
  let [number, position] = [...history].at(-1) ?? [-1, -1];
  for (;;) {
    const query = { order: 'oldest', limit: MAX_PAGE, ...(position >= 0 && { after: position }) };
    const { status, text } = await api.get(`/v1/history/users/${mid}`, query);
    expect(status).toBe(200);
    const page = JSON.parse(text) as { entries: { position: number; body: string }[]; more: boolean };
    for (const entry of page.entries) {
      const [name, which] = Buffer.from(entry.body, 'base64').toString().split('/');
      expect(name).toBe(pushes.name);
      expect(Number(which)).toBeGreaterThan(number);
      expect(entry.position).toBeGreaterThan(position);
      [number, position] = [Number(which), entry.position];
      history.set(number, position);
    }
    if (!page.more) return;
  }
}

function missing(user: User, has: (number: number) => boolean): string[] {
  return accepted(user)
    .filter((number) => !has(number))
    .map((number) => `${user.pushes.name}/${number}`);
}

/** Waits until everybody was shown, and the history has, all that was accepted so far. */
async function expectAll(round: number): Promise<void> {
  const notShown = await eventually(
    () => {
      users.forEach(take);
      return users.flatMap((user) => missing(user, (number) => user.shown.has(number)));
    },
    (lost) => lost.length === 0,
    CAUGHT_UP_MS,
    20,
  );
  for (const user of users) await readHistory(user);
  const notKept = users.flatMap((user) => missing(user, (number) => user.history.has(number)));
  expect({ round, notShown, notKept }).toEqual({ round, notShown: [], notKept: [] });
}

test(
  `killed ${KILLS} times while it writes (seed ${SEED}), it has all that was answered OK after each start, once for each position`,
  async () => {
    const random = new Random(SEED);
    for (let round = 0; round < KILLS; round += 1) {
      await startAgain();
      await expectAll(round);
      await pushUntilKilled(20 + random.below(100));
      for (const user of users) {
        await user.client?.end();
        take(user);
      }
    }
    await startAgain();
    for (const { history } of users) history.clear();
    await expectAll(KILLS);
    // What may have been written all the same was written once: nothing came that was not pushed, and nothing twice.
    for (const { pushes, history } of users) expect(history.size).toBeLessThanOrEqual(pushes.next);
    expect(users.flatMap(accepted).length).toBeGreaterThan(KILLS * 20);
  },
  60_000 + KILLS * 5_000,
);
