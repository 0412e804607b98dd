import { connect, type Socket } from 'node:net';

import { afterEach, beforeEach, expect, test } from '@jest/globals';
import { CloseCode } from '@halley/protocol/close-code';
import { decodeMessage } from '@halley/protocol/decoder';
import { encodeFrame } from '@halley/protocol/frame';

import { outgoing } from '../../delivery/outgoing.js';
import { FakeClock } from '../../testing/fake-clock.js';
import { CometHarness, until } from '../../testing/harness.js';
import type { HttpAnswer, HttpClient } from '../../testing/http-client.js';
import { frame } from '../../testing/test-client.js';

const CLOSE_TIMEOUT_MS = 2_000;
const TOKEN = { mid: 1, key: 'k', accepts: [1_000] };

let harness: CometHarness;
let clock: FakeClock;
beforeEach(async () => {
  clock = new FakeClock();
  harness = await CometHarness.start({ clock, session: { closeTimeoutMs: CLOSE_TIMEOUT_MS } });
});
afterEach(() => harness.stop());

function client(token: object = TOKEN): HttpClient {
  return harness.http('poll', token, { manual: true });
}

async function open(): Promise<HttpClient> {
  const opened = client();
  expect(numberOf(await poll(opened, 0))).toBe(1);
  return opened;
}

function poll(of: HttpClient, after: number, more = ''): Promise<HttpAnswer> {
  return of.ask('GET', `/poll?after=${after}${more}`);
}

function numberOf({ headers }: HttpAnswer): number {
  return Number(headers['halley-response']);
}

function texts({ body }: HttpAnswer): string[] {
  return decodeMessage(body, { maxBodyBytes: 2_000_000 }).map(({ body: text }) =>
    Buffer.from(text).toString(),
  );
}

function push(text: string | Buffer): void {
  harness.comet.deliverer.toKeys(['k'], outgoing(1_000, Buffer.from(text)));
}

/** A poll on a socket of its own, which can break off. */
function barePoll(session: string, after: number): Socket {
  const socket = connect(harness.comet.boundPorts.ws, '127.0.0.1');
  const auth = Buffer.from(JSON.stringify(TOKEN)).toString('base64url');
  socket.write(
    `GET /poll?after=${after} HTTP/1.1\r\nhost: x\r\nhalley-session: ${session}\r\nauthorization: Bearer ${auth}\r\n\r\n`,
  );
  return socket;
}

/** A poll that waits at comet. */
async function waitingPoll(of: HttpClient, after: number): Promise<{ answer: Promise<HttpAnswer> }> {
  const answer = poll(of, after);
  // Its request has come once one behind it has been answered.
  await of.ask('POST', '/send?n=99');
  return { answer };
}

test('what comes in one tick, and what comes between polls, is in one response', async () => {
  const session = await open();
  push('a');
  push('b');
  await new Promise((resolve) => setImmediate(resolve));
  push('c');
  const answer = await poll(session, 1);
  expect([numberOf(answer), texts(answer)]).toEqual([2, ['a', 'b', 'c']]);
  expect(answer.headers).toMatchObject({
    'content-type': 'application/octet-stream',
    'cache-control': 'no-store',
  });
});

test('a poll for which nothing comes is answered in time, without a number', async () => {
  const session = await open();
  let answered = false;
  const waiting = poll(session, 1).then((answer) => {
    answered = true;
    return answer;
  });
  await session.ask('POST', '/send?n=99');
  clock.advance(24_000);
  await new Promise((resolve) => setTimeout(resolve, 150));
  expect(answered).toBe(false);
  clock.advance(1_100);
  const answer = await waiting;
  expect([answer.status, answer.headers['halley-response']]).toEqual([204, undefined]);
  const short = poll(session, 1, '&wait_ms=50');
  await session.ask('POST', '/send?n=99');
  clock.advance(100);
  expect((await short).status).toBe(204);
  push('later');
  expect(texts(await poll(session, 1))).toEqual(['later']);
});

test('a newer poll takes over, and nothing is lost', async () => {
  const session = await open();
  const old = await waitingPoll(session, 1);
  const fresh = poll(session, 1);
  expect((await old.answer).status).toBe(204);
  push('once');
  expect(texts(await fresh)).toEqual(['once']);
});

test('a response that was lost is repeated; what came meanwhile is in the next one', async () => {
  const session = await open();
  push('lost');
  const lost = await poll(session, 1);
  push('meanwhile');
  const again = await poll(session, 1);
  expect([numberOf(again), again.body]).toEqual([2, lost.body]);
  expect(texts(await poll(session, 2))).toEqual(['meanwhile']);
  for (const wrong of [0, 1, 4]) expect((await poll(session, wrong)).code).toBe('poll_out_of_order');
});

test('opening is repeated too: a first answer that was lost opens nothing else', async () => {
  const session = client();
  const first = await poll(session, 0);
  expect(await poll(session, 0)).toMatchObject({ status: 200, body: first.body });
  expect(harness.logic.calls.filter((call) => call.startsWith('connect'))).toHaveLength(1);
  expect(harness.comet.counter.open).toBe(1);
});

test('what waits counts until the next poll says that it arrived, within the bound of the outbox', async () => {
  await harness.stop();
  harness = await CometHarness.start({ clock, outbox: { maxBytes: 100_000, maxTotalBytes: 1_000_000 } });
  const session = client({ ...TOKEN, mid: 0 });
  await poll(session, 0);
  for (let i = 0; i < 4; i += 1) push(Buffer.alloc(20_000, i));
  await until(() => harness.comet.ledger.totalBytes > 80_000);
  expect(numberOf(await poll(session, 1))).toBe(2);
  expect(harness.comet.ledger.totalBytes).toBeGreaterThan(80_000);
  const next = await waitingPoll(session, 2);
  harness.comet.ledger.sweep();
  expect(harness.comet.ledger.totalBytes).toBe(0);
  push('small');
  expect(texts(await next.answer)).toEqual(['small']);
  // Nobody polls, and an anonymous client has no stream to catch up from.
  for (let i = 0; i < 6; i += 1) push(Buffer.alloc(20_000, i));
  const last = await poll(session, 3);
  expect(last.body.length).toBeLessThan(100_100);
  expect(last.headers['halley-close']).toBe(`${CloseCode.Slow}`);
});

test('much comes in several responses', async () => {
  const session = await open();
  for (let i = 0; i < 10; i += 1) push(Buffer.alloc(60_000, i));
  await until(() => harness.comet.ledger.totalBytes > 600_000);
  const sizes: number[] = [];
  for (let after = 1; sizes.reduce((sum, size) => sum + size, 0) < 600_000; after += 1)
    sizes.push((await poll(session, after)).body.length);
  expect(sizes.map((size) => Math.floor(size / 60_000))).toEqual([4, 4, 2]);
});

test('without a poll for the time of grace it ends; one that breaks off is none', async () => {
  const session = await open();
  const socket = barePoll(session.id, 1);
  await until(() => harness.comet.counter.sockets > 1);
  await session.ask('POST', '/send?n=99');
  socket.destroy();
  await until(() => harness.comet.counter.sockets === 1);
  clock.advance(29_000);
  push('kept');
  expect(texts(await poll(session, 1))).toEqual(['kept']);
  clock.advance(31_000);
  await until(() => harness.comet.table.size === 0);
  expect((await poll(session, 2)).code).toBe('session_unknown');
  expect(harness.comet.counter.open).toBe(0);
});

test('one whose first poll breaks off ahead of the first response is not let in', async () => {
  let open = (): void => undefined;
  harness.logic.gate = new Promise((resolve) => (open = resolve));
  const socket = barePoll(Buffer.alloc(16, 7).toString('base64url'), 0);
  await until(() => harness.logic.calls.includes('connect'));
  socket.destroy();
  await until(() => harness.comet.counter.open === 0);
  open();
  await until(() => harness.logic.calls.includes('disconnect k'));
  expect(harness.comet.table.size).toBe(0);
});

test('a poll that waits is told the end, and who lost that is told again, for a while', async () => {
  const session = await open();
  const waiting = await waitingPoll(session, 1);
  harness.comet.closeAll(CloseCode.Kicked, 'Genug für heute: 100 %');
  const end = await waiting.answer;
  expect(end.headers).toMatchObject({
    'halley-response': '2',
    'halley-close': '3007',
    'halley-close-reason': 'Genug%20f%C3%BCr%20heute%3A%20100%20%25',
  });
  await until(() => harness.comet.counter.open === 0);
  expect((await poll(session, 1)).headers).toMatchObject({ 'halley-response': '2', 'halley-close': '3007' });
  expect((await poll(session, 2)).code).toBe('session_unknown');
  expect((await session.ask('POST', '/send?n=1')).code).toBe('session_unknown');
  clock.advance(CLOSE_TIMEOUT_MS + 200);
  await until(async () => (await poll(session, 1)).code === 'session_unknown');
});

test('who does not poll is told the end at the next poll, behind what waits, and forgotten in time', async () => {
  const session = await open();
  push('before');
  await new Promise((resolve) => setImmediate(resolve));
  harness.comet.closeAll(CloseCode.Kicked, 'Go.');
  const end = await poll(session, 1);
  expect([texts(end), end.headers['halley-close']]).toEqual([['before'], '3007']);
  const silent = client({ mid: 2 });
  await poll(silent, 0);
  harness.comet.closeAll(CloseCode.Kicked, 'Go.');
  clock.advance(CLOSE_TIMEOUT_MS + 200);
  await until(() => harness.comet.counter.open === 0);
  expect((await poll(silent, 1)).code).toBe('session_unknown');
});

test('polls are no heartbeats', async () => {
  const session = await open();
  let close: unknown;
  for (let after = 1; close === undefined && after < 100; after += 1) {
    push('on');
    const answer = await poll(session, after);
    close = answer.headers['halley-close'];
    clock.advance(20_000);
    // For the wheel to turn.
    await new Promise((resolve) => setTimeout(resolve, 30));
  }
  expect(close).toBe(`${CloseCode.HeartbeatTimeout}`);
});

test('DELETE answers a poll that waits, behind the answers to what was sent', async () => {
  const session = await open();
  await session.ask('POST', '/send?n=1', { body: encodeFrame(frame(4, 'last words', 5)) });
  const answer = await poll(session, 1);
  expect(decodeMessage(answer.body).map(({ seq }) => seq)).toEqual([5]);
  const waiting = await waitingPoll(session, 2);
  await session.ask('DELETE', '/session');
  expect((await waiting.answer).status).toBe(204);
  expect((await poll(session, 2)).code).toBe('session_unknown');
});

test('an HTTP/1.0 proxy gets a whole answer', async () => {
  const socket = connect(harness.comet.boundPorts.ws, '127.0.0.1');
  const auth = Buffer.from(JSON.stringify(TOKEN)).toString('base64url');
  socket.write(
    `GET /poll?after=0 HTTP/1.0\r\nhalley-session: ${'A'.repeat(22)}\r\nauthorization: Bearer ${auth}\r\n\r\n`,
  );
  const chunks: Buffer[] = [];
  for await (const chunk of socket) chunks.push(chunk as Buffer);
  const answer = Buffer.concat(chunks).toString('latin1');
  expect(answer).toMatch(/^HTTP\/1.1 200 /);
  expect(answer).toMatch(/content-length: 16\r\n/i);
});
