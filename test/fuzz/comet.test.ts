import { readFile } from 'node:fs/promises';
import { setTimeout as sleep } from 'node:timers/promises';

import { afterAll, beforeAll, expect, test } from '@jest/globals';

import { encodeFrame } from '@halley/protocol/frame';
import { Operation } from '@halley/protocol/operation';

import type { GoimClient } from '../harness/goim-client.js';
import { startHalley, type StartedHalley } from '../harness/halley-process.js';
import { Random } from '@halley/bench/random';
import { TcpClient } from '../harness/tcp-client.js';
import { eventually } from '../harness/within.js';
import { WsClient } from '../harness/ws-client.js';
import { anInput, fuzzSeed } from './inputs.js';
import { breachesOf, RawClient } from './raw-client.js';
import { anUpgrade, aProxyHeader, UPGRADE, webSocketBytes } from './wire-inputs.js';

const INPUTS = 10_000;
const AT_ONCE = 40;
/** How long an input that leaves its connection open is listened to. */
const LISTEN_MS = 15;
/** What the process may have grown by at the end, in bytes. */
const MAX_GROWTH_BYTES = 200 * 1024 * 1024;
const SECRET = 'what another client said';
/** Who comes from there is believed to be a proxy; the others come from 127.0.0.1, where that can be told apart. */
const PROXY = process.platform === 'linux' ? '127.0.0.2' : '127.0.0.1';

const seed = fuzzSeed();
let started: StartedHalley | undefined;

beforeAll(async () => {
  // Without the pages of the demo: an upgrade that became a request for one is refused.
  started = await startHalley(['--proxy.trusted', PROXY, '--http.demo=false']);
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

  const outcomes: Record<string, Outcome> = {};
  let next = 0;
  const worker = async (): Promise<void> => {
    for (let index = next++; index < INPUTS; index = next++) {
      const [name, attack] = ATTACKS[index % ATTACKS.length] as (typeof ATTACKS)[number];
      const outcome = (outcomes[name] ??= { closed: 0, left: 0, answered: 0 });
      const { isClosed, isAnswered } = await attack(random, index);
      outcome[isClosed ? 'closed' : 'left'] += 1;
      if (isAnswered) outcome.answered += 1;
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
  // All happens; how often within the time that is listened is a matter of how busy the machine is, because a fault closes
  // behind the messages ahead of it.
  expect(Object.keys(outcomes)).toEqual(ATTACKS.map(([name]) => name));
  for (const outcome of Object.values(outcomes)) expect(Object.values(outcome)).not.toContain(0);
  expect(grown).toBeLessThan(MAX_GROWTH_BYTES);
}, 180_000);

const AUTH = Buffer.from(encodeFrame({ ver: 1, op: Operation.Auth, seq: 1, body: Buffer.from('{}') }));

interface Outcome {
  closed: number;
  left: number;
  answered: number;
}

interface Ended {
  readonly isClosed: boolean;
  /** Whether something came back. */
  readonly isAnswered: boolean;
}

/** One connection and what is thrown at it. The random choices are made before anything is awaited: the seed repeats them. */
type Attack = (random: Random, index: number) => Promise<Ended>;

const ATTACKS: readonly (readonly [string, Attack])[] = [
  ['TCP', (random, index) => frames(aSession(random), index, () => TcpClient.connect(halley().target.tcp))],
  [
    'WebSocket',
    (random, index) => frames(aSession(random), index, () => WsClient.connect(halley().target.ws)),
  ],
  [
    'WebSocket framing',
    (random, index) => {
      const authenticated = random.below(4) > 0 ? maskless(AUTH) : Buffer.alloc(0);
      const bytes = Buffer.concat([authenticated, webSocketBytes(random)]);
      return random.below(4) === 0
        ? raw([Buffer.concat([UPGRADE, bytes])], index)
        : raw([UPGRADE, ...cut(bytes, 1 + random.below(4))], index);
    },
  ],
  [
    'upgrade',
    (random, index) => {
      const request = anUpgrade(random);
      return raw([Buffer.concat([request, random.below(2) === 0 ? webSocketBytes(random) : AUTH])], index);
    },
  ],
  [
    'PROXY header',
    (random, index) => {
      const header = aProxyHeader(random);
      const { input, pieces } = aSession(random);
      const bytes = webSocketBytes(random);
      return random.below(2) === 0
        ? frames(
            { input, pieces, authenticated: false },
            index,
            () => TcpClient.connect(halley().target.tcp, PROXY),
            [header, AUTH],
          )
        : raw([header, Buffer.concat([UPGRADE, bytes])], index, PROXY);
    },
  ],
];

/** Frames, on a connection of a goim client; `ahead` goes ahead of them as it is. */
async function frames(
  { input, authenticated, pieces }: Session,
  index: number,
  connect: () => Promise<GoimClient>,
  ahead: readonly Buffer[] = [],
): Promise<Ended> {
  const client = await connect();
  const sent = Buffer.concat([...ahead, authenticated ? AUTH : Buffer.alloc(0), input]);
  for (const bytes of ahead) client.sendBytes(bytes);
  if (authenticated) await client.auth({});
  send(client, input, pieces);
  await Promise.race([client.closed, sleep(LISTEN_MS)]);
  const { isClosed } = client;
  client.close();
  judge(client, sent, index);
  return { isClosed, isAnswered: client.wire.length > 0 };
}

/** Bytes on a bare connection to the WebSocket port; the rest follows when the first is answered. */
async function raw(
  [first = Buffer.alloc(0), ...rest]: readonly Buffer[],
  index: number,
  from?: string,
): Promise<Ended> {
  const client = await RawClient.connect(new URL(halley().target.ws).host, from);
  client.sendBytes(first);
  // A good upgrade is answered, however busy the machine is.
  await Promise.race([
    client.answered(),
    sleep(first.indexOf(UPGRADE) === 0 ? 5_000 : LISTEN_MS, undefined, { ref: false }),
  ]);
  for (const bytes of rest) client.sendBytes(bytes);
  await Promise.race([client.closed, sleep(LISTEN_MS)]);
  const { isClosed, received } = client;
  client.close();
  const answer = received.toString('latin1');
  // An upgrade that is refused, or one that is answered and then only whole frames.
  const breaches = /^((HTTP\/1\.1 100 Continue\r\n\r\n)?HTTP\/1\.1 4\d\d |$)/.test(answer)
    ? []
    : breachesOf(received);
  expect({ index, breaches, secret: answer.includes(SECRET) }).toEqual({
    index,
    breaches: [],
    secret: false,
  });
  return { isClosed, isAnswered: answer !== '' };
}

interface Session {
  readonly input: Buffer;
  readonly authenticated: boolean;
  readonly pieces: number;
}

function aSession(random: Random): Session {
  return { input: anInput(random), authenticated: random.below(4) > 0, pieces: 1 + random.below(4) };
}

/** A whole binary message of a client, masked with zeros. */
function maskless(payload: Buffer): Buffer {
  return Buffer.concat([Buffer.of(0x82, 0x80 | payload.length, 0, 0, 0, 0), payload]);
}

function cut(bytes: Buffer, pieces: number): Buffer[] {
  const step = Math.max(1, Math.ceil(bytes.length / pieces));
  const parts: Buffer[] = [];
  for (let at = 0; at === 0 || at < bytes.length; at += step) parts.push(bytes.subarray(at, at + step));
  return parts;
}

/** In one write or several; on WebSocket in one message, fragmented or not. */
function send(client: GoimClient, input: Buffer, pieces: number): void {
  const parts = cut(input, pieces);
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
