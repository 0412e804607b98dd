import { connect } from 'node:net';

import { afterEach, expect, test } from '@jest/globals';
import { encodeFrame } from '@halley/protocol/frame';
import { Operation } from '@halley/protocol/operation';

import { outgoing } from './delivery/outgoing.js';
import { CometHarness, until } from './testing/harness.js';
import { frame } from './testing/test-client.js';

const INPUTS = 1_500;
const AT_ONCE = 25;
const LISTEN_MS = 60;
const SECRET = 'what another client said';
const SEED = Number(process.env['HALLEY_FUZZ_SEED'] ?? 20_261_121);

const UPGRADE = Buffer.from(
  'GET /sub HTTP/1.1\r\nhost: x\r\nupgrade: websocket\r\nconnection: Upgrade\r\n' +
    'sec-websocket-version: 13\r\nsec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n',
);
const PROXY = Buffer.from('PROXY TCP4 203.0.113.7 10.0.0.1 5555 3101\r\n');

/** Numbers from a seed, so that a run can be repeated (mulberry32). */
function numbers(seed: number): (below: number) => number {
  let state = seed;
  return (below) => {
    state = (state + 0x6d2b79f5) | 0;
    let mixed = Math.imul(state ^ (state >>> 15), 1 | state);
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed;
    return ((mixed ^ (mixed >>> 14)) >>> 0) % below;
  };
}

/** A WebSocket frame that is more or less one: any opcode, reserved bits, with and without mask, with a lying length. */
function webSocketFrame(below: (n: number) => number): Buffer {
  const payload = Buffer.from(Array.from({ length: below(60) }, () => below(256)));
  const masked = below(10) > 0;
  const said = below(8) === 0 ? below(126) : payload.length;
  const head = [(below(4) > 0 ? 0x80 : 0) | (below(12) === 0 ? 0x40 : 0) | below(below(3) === 0 ? 16 : 3)];
  if (below(6) === 0) head.push((masked ? 0x80 : 0) | 126, below(2) === 0 ? 0 : below(256), said);
  else if (below(20) === 0)
    head.push((masked ? 0x80 : 0) | 127, ...Array.from({ length: 8 }, () => below(256)));
  else head.push((masked ? 0x80 : 0) | said);
  // A mask of zeros leaves the payload as it is.
  return Buffer.concat([Buffer.from(head), Buffer.alloc(masked ? 4 : 0), payload]);
}

/** A request for a session over HTTP, of a few that others ask for too: what it has is more or less what it should be. */
function sessionRequest(below: (n: number) => number): Buffer {
  const number = below(3);
  const [method, path] = [
    ['GET', '/sse'],
    ['GET', `/poll?after=${number}&wait_ms=${below(40)}`],
    ['POST', `/send?n=${number}`],
    ['DELETE', '/session'],
    [['PUT', 'OPTIONS', 'GET'][number], ['/send', '/poll?after=', '/poll?after=1e9&wait_ms=-1'][below(3)]],
  ][below(5)] as [string, string];
  const body = below(3) === 0 ? Buffer.from('rubbish') : Buffer.from(encodeFrame(frame(below(18), '{}', 1)));
  const id = below(12) === 0 ? 'x' : 'A'.repeat(21) + 'ABCD'[below(4)];
  const auth = Buffer.from(below(8) === 0 ? 'none' : `{"mid":${2 + below(2)}}`).toString('base64url');
  const length = below(12) === 0 ? below(100_000) : body.length;
  return Buffer.concat([
    Buffer.from(
      `${method} ${path} HTTP/1.${below(6) === 0 ? 0 : 1}\r\nhost: x\r\nhalley-session: ${id}\r\n` +
        `authorization: Bearer ${auth}\r\n` +
        (method === 'POST' ? `content-length: ${length}\r\n\r\n` : '\r\n'),
    ),
    method === 'POST' ? body : Buffer.alloc(0),
  ]);
}

function anInput(below: (n: number) => number): Buffer {
  const parts: Buffer[] = [];
  if (below(3) === 0) parts.push(PROXY);
  if (below(3) === 0) for (let count = 1 + below(3); count > 0; count -= 1) parts.push(sessionRequest(below));
  else if (below(5) > 0) parts.push(UPGRADE);
  for (let count = below(6); count > 0; count -= 1) parts.push(webSocketFrame(below));
  const input = Buffer.concat(parts);
  for (let flips = below(4) === 0 ? below(6) : 0; flips > 0 && input.length > 0; flips -= 1) {
    const at = below(input.length);
    input[at] = (input[at] as number) ^ (1 << below(8));
  }
  return below(6) === 0 ? input.subarray(0, below(input.length + 1)) : input;
}

let harness: CometHarness | undefined;
afterEach(() => harness?.stop());

test(`broken HTTP, WebSocket and PROXY bytes cost only their connections (HALLEY_FUZZ_SEED=${SEED})`, async () => {
  const started = await CometHarness.start({
    trustedProxies: ['127.0.0.1'],
    maxMessageParts: 16,
    http: { keepAliveMs: 50, pollWaitMs: 100, pollGraceMs: 200 },
    session: { handshakeTimeoutMs: 400, closeTimeoutMs: 300, maxEarlyBytes: 65_536 },
  });
  harness = started;
  const below = numbers(SEED);
  const healthy = await started.wsOf({ mid: 1, key: 'healthy', accepts: [5] });
  let beats = 0;
  const beside = setInterval(() => {
    beats += 1;
    healthy.send(frame(Operation.Subscribe, SECRET, beats));
    started.comet.deliverer.toKeys(['healthy'], outgoing(5, Buffer.from(SECRET)));
  }, 20);

  let next = 0;
  const worker = async (): Promise<void> => {
    while (next < INPUTS) {
      next += 1;
      const input = anInput(below);
      const cut = below(input.length + 1);
      const port = below(4) === 0 ? started.comet.boundPorts.tcp : started.comet.boundPorts.ws;
      await new Promise<void>((resolve) => {
        const socket = connect(port, '127.0.0.1');
        let timer: NodeJS.Timeout | undefined;
        const received: Buffer[] = [];
        socket.on('connect', () => {
          socket.write(input.subarray(0, cut));
          setImmediate(() => {
            if (socket.writable) socket.write(input.subarray(cut));
            timer = setTimeout(() => socket.destroy(), LISTEN_MS);
          });
        });
        socket.on('data', (chunk: Buffer) => received.push(chunk));
        socket.on('error', () => undefined);
        socket.on('close', () => {
          clearTimeout(timer);
          const all = Buffer.concat(received);
          expect(all.includes(SECRET)).toBe(false);
          resolve();
        });
      });
    }
  };
  await Promise.all(Array.from({ length: AT_ONCE }, worker));
  clearInterval(beside);

  // Nobody beside them noticed: each request was answered in order, each push arrived.
  const seqs: number[] = [];
  let pushes = 0;
  while (seqs.length < beats || pushes < beats) {
    const { op, seq } = await healthy.next();
    if (op === Operation.SubscribeReply) seqs.push(seq);
    else pushes += 1;
  }
  expect(seqs).toEqual(Array.from({ length: beats }, (_, i) => i + 1));
  // Nothing is left of them.
  await until(() => started.comet.counter.open === 1);
  expect(started.comet.table.size).toBe(1);
  expect(await started.metric('halley_comet_connections')).toBe(1);
  expect(started.comet.counter.addresses).toBe(1);
  await until(() => {
    started.comet.ledger.sweep();
    return started.comet.ledger.totalBytes === 0;
  });
});
