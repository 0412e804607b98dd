import { readFile } from 'node:fs/promises';
import { setTimeout as sleep } from 'node:timers/promises';

import { afterAll, beforeAll, expect, test } from '@jest/globals';

import { encodeFrame } from '@halley/protocol/frame';
import { Operation } from '@halley/protocol/operation';

import type { GoimClient } from '../harness/goim-client.js';
import { startHalley, type StartedHalley } from '../harness/halley-process.js';
import { Random } from '../harness/random.js';
import { TcpClient } from '../harness/tcp-client.js';
import { eventually } from '../harness/within.js';
import { WsClient } from '../harness/ws-client.js';
import { anInput, fuzzSeed } from './inputs.js';

const INPUTS = 10_000;
const AT_ONCE = 40;
/** How long an input that leaves its connection open is listened to. */
const LISTEN_MS = 15;
/** What the process may have grown by at the end, in bytes. */
const MAX_GROWTH_BYTES = 200 * 1024 * 1024;
const SECRET = 'what another client said';

const seed = fuzzSeed();
let started: StartedHalley | undefined;

beforeAll(async () => {
  started = await startHalley();
}, 60_000);

afterAll(async () => {
  await started?.stop();
}, 20_000);

test(`10,000 random and mutated inputs cost a listening comet nothing but their connections (HALLEY_FUZZ_SEED=${seed})`, async () => {
  const random = new Random(seed);
  const before = await residentBytes();
  const victims = await Promise.all([
    TcpClient.connect(halley().target.tcp),
    WsClient.connect(halley().target.ws),
  ]);
  for (const victim of victims) await victim.auth({});

  const outcomes = { closed: 0, left: 0 };
  let next = 0;
  const worker = async (): Promise<void> => {
    for (let index = next++; index < INPUTS; index = next++) {
      const { input, authenticated, pieces } = aSession(random);
      const client =
        index % 2 === 0
          ? await TcpClient.connect(halley().target.tcp)
          : await WsClient.connect(halley().target.ws);
      const sent = Buffer.concat([authenticated ? AUTH : Buffer.alloc(0), input]);
      if (authenticated) await client.auth({});
      send(client, input, pieces);
      await Promise.race([client.closed, sleep(LISTEN_MS)]);
      outcomes[client.isClosed ? 'closed' : 'left'] += 1;
      client.close();
      judge(client, sent, index);
      if (index % 500 === 0) {
        for (const victim of victims) await victim.request(Operation.Subscribe, SECRET.repeat(100));
      }
    }
  };
  await Promise.all(Array.from({ length: AT_ONCE }, worker));

  for (const victim of victims) {
    await victim.heartbeat();
    victim.close();
  }
  // Others are served as before, on connections made now.
  const [tcp, ws] = await Promise.all([
    TcpClient.connect(halley().target.tcp),
    WsClient.connect(halley().target.ws),
  ]);
  for (const client of [tcp, ws]) {
    await client.auth({});
    await client.heartbeat();
    client.close();
  }
  // Nothing is left of them: no connection, and no fault that had to be caught.
  const left = await eventually(connections, (count) => count === 0, 10_000);
  expect(left).toBe(0);
  expect(halley().process.output).not.toMatch(/"level":"(error|fatal)"/);
  const grown = (await residentBytes()) - before;
  console.log(
    `comet fuzz: seed ${seed}, ${INPUTS} inputs: ${JSON.stringify(outcomes)}, grown by ${grown >> 20} MiB`,
  );
  // Both happen; how often within the time that is listened is a matter of how busy the machine is, because a fault closes
  // behind the messages ahead of it.
  expect(outcomes.closed).toBeGreaterThan(0);
  expect(outcomes.left).toBeGreaterThan(0);
  expect(grown).toBeLessThan(MAX_GROWTH_BYTES);
}, 180_000);

const AUTH = Buffer.from(encodeFrame({ ver: 1, op: Operation.Auth, seq: 1, body: Buffer.from('{}') }));

interface Session {
  readonly input: Buffer;
  readonly authenticated: boolean;
  readonly pieces: number;
}

function aSession(random: Random): Session {
  return { input: anInput(random), authenticated: random.below(4) > 0, pieces: 1 + random.below(4) };
}

/** In one write or several; on WebSocket in one message, fragmented or not. */
function send(client: GoimClient, input: Buffer, pieces: number): void {
  const step = Math.max(1, Math.ceil(input.length / pieces));
  const parts: Buffer[] = [];
  for (let at = 0; at === 0 || at < input.length; at += step) parts.push(input.subarray(at, at + step));
  if (client instanceof WsClient) client.sendFragments(parts);
  else for (const part of parts) client.sendBytes(part);
}

/** All that came back is a reply that this client's own bytes explain. */
function judge(client: GoimClient, sent: Buffer, index: number): void {
  expect({ index, breaches: client.breaches }).toEqual({ index, breaches: [] });
  for (const { op, body } of client.waiting) {
    const isCount = op === Operation.HeartbeatReply && body.length === 4;
    const foreign = isCount || sent.includes(body) ? '' : body.toString('hex');
    expect({ index, op, foreign }).toEqual({ index, op, foreign: '' });
    expect(body.includes(SECRET)).toBe(false);
  }
}

/** The connections that comet counts. */
async function connections(): Promise<number> {
  const lines = (await halley().metrics()).split('\n');
  const counts = lines.filter((line) => /^halley_comet_connections[ {]/.test(line));
  expect(counts).not.toEqual([]);
  return counts.reduce((sum, line) => sum + Number(line.split(' ').at(-1)), 0);
}

async function residentBytes(): Promise<number> {
  const statm = await readFile(`/proc/${halley().process.pid}/statm`, 'utf8');
  return Number(statm.split(' ')[1]) * 4096;
}

function halley(): StartedHalley {
  if (!started) throw new Error('the product did not start');
  return started;
}
