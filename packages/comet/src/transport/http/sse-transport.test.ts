import { once } from 'node:events';
import { connect, type Socket } from 'node:net';
import { Agent, request } from 'node:https';
import type { IncomingMessage } from 'node:http';

import { afterEach, beforeEach, expect, test } from '@jest/globals';
import { CloseCode } from '@halley/protocol/close-code';
import { decodeMessage } from '@halley/protocol/decoder';

import { outgoing } from '../../delivery/outgoing.js';
import { TEST_CERT, TEST_KEY } from '../../testing/certificate.js';
import { FakeClock } from '../../testing/fake-clock.js';
import { CometHarness, until } from '../../testing/harness.js';

const TOKEN = { mid: 1, key: 'k', accepts: [1_000] };
const HEADERS = {
  'halley-session': 'A'.repeat(22),
  authorization: `Bearer ${Buffer.from(JSON.stringify(TOKEN)).toString('base64url')}`,
};

let harness: CometHarness;
let clock: FakeClock;
beforeEach(async () => {
  clock = new FakeClock();
  harness = await CometHarness.start({ clock });
});
afterEach(() => harness.stop());

/** The response as it is on the wire. */
async function raw(version: '1.0' | '1.1'): Promise<{ socket: Socket; text: () => string }> {
  const socket = connect(harness.comet.boundPorts.ws, '127.0.0.1');
  let text = '';
  socket.on('data', (chunk) => (text += chunk.toString('latin1')));
  const headers = Object.entries(HEADERS).map(([name, value]) => `${name}: ${value}\r\n`);
  socket.write(`GET /sse HTTP/${version}\r\nhost: x\r\n${headers.join('')}\r\n`);
  await until(() => text.includes('data: '));
  return { socket, text: () => text };
}

function push(text: string | Buffer): void {
  harness.comet.deliverer.toKeys(['k'], outgoing(1_000, Buffer.from(text)));
}

test('its header and its first line come at once, and nobody is to keep or gather them', async () => {
  const { socket, text } = await raw('1.1');
  expect(text()).toMatch(/^HTTP\/1.1 200 OK\r\n/);
  for (const header of [
    'content-type: text/event-stream',
    'cache-control: no-store, no-transform',
    'x-accel-buffering: no',
  ])
    expect(text()).toContain(`${header}\r\n`);
  expect(text()).toContain(': open\n\n');
  socket.destroy();
});

test('an HTTP/1.0 proxy gets the stream as it is, to its end', async () => {
  const { socket, text } = await raw('1.0');
  const [, body = ''] = text().split('\r\n\r\n');
  expect(body.startsWith(': open\n\ndata: ')).toBe(true);
  harness.comet.closeAll(CloseCode.Kicked, 'Go.');
  await once(socket, 'close');
  expect(text().endsWith('event: close\ndata: {"code":3007,"reason":"Go."}\n\n')).toBe(true);
});

test('where nothing is said a comment comes, and none where something was', async () => {
  const { socket, text } = await raw('1.1');
  const comments = (): number => text().split('\n:\n').length - 1;
  clock.advance(10_000);
  push('something');
  await until(() => text().split('data: ').length === 3);
  clock.advance(10_000);
  await new Promise((resolve) => setTimeout(resolve, 150));
  expect(comments()).toBe(0);
  clock.advance(5_100);
  await until(() => comments() === 1);
  clock.advance(15_100);
  await until(() => comments() === 2);
  socket.destroy();
});

test('when the response breaks the session ends at once', async () => {
  const { socket } = await raw('1.1');
  expect(harness.comet.table.size).toBe(1);
  socket.destroy();
  await until(() => harness.comet.table.size === 0);
  expect(harness.comet.counter.open).toBe(0);
  // Its id is free again.
  (await raw('1.1')).socket.destroy();
});

test('what waits while the client does not read leaves in few events of bounded size', async () => {
  const { socket, text } = await raw('1.1');
  socket.pause();
  for (let i = 0; i < 900; i += 1) push(Buffer.alloc(1_000, i));
  await new Promise((resolve) => setImmediate(resolve));
  socket.resume();
  let frames = 0;
  let largest = 0;
  await until(() => {
    const events = text()
      .replaceAll(/\r\n[0-9a-f]+\r\n/g, '')
      .split('\n\n')
      .filter((event) => event.startsWith('data: '));
    const bodies = events.slice(1, -1).map((event) => Buffer.from(event.slice(6), 'base64'));
    largest = Math.max(0, ...bodies.map(({ length }) => length));
    frames = bodies.reduce((sum, body) => sum + decodeMessage(body).length, 0);
    return frames > 800;
  });
  expect(largest).toBeLessThanOrEqual(64 * 1_024);
  socket.destroy();
});

test('a client that does not end its side is cut off in time', async () => {
  const { socket } = await raw('1.1');
  socket.pause();
  // More than the kernel takes, so that the end does not fit any more.
  while ((harness.comet.ledger.sweep(), harness.comet.ledger.totalBytes) < 500_000) {
    push(Buffer.alloc(100_000));
    await new Promise((resolve) => setImmediate(resolve));
  }
  harness.comet.closeAll(CloseCode.Kicked, 'Go.');
  expect(harness.comet.counter.open).toBe(1);
  clock.advance(2_200);
  await until(() => harness.comet.counter.open === 0);
  expect(harness.comet.ledger.totalBytes).toBe(0);
  socket.destroy();
});

test('with TLS too', async () => {
  await harness.stop();
  harness = await CometHarness.start({ tls: { cert: TEST_CERT, key: TEST_KEY } });
  const agent = new Agent({ rejectUnauthorized: false });
  const asked = request({
    host: '127.0.0.1',
    port: harness.comet.boundPorts.wss,
    path: '/sse',
    headers: HEADERS,
    agent,
  });
  asked.end();
  const [response] = (await once(asked, 'response')) as [IncomingMessage];
  let text = '';
  response.on('data', (chunk) => (text += String(chunk))).on('error', () => undefined);
  await until(() => text.includes('data: '));
  expect(response.statusCode).toBe(200);
  agent.destroy();
  await until(() => harness.comet.counter.sockets === 0);
  expect(harness.comet.counter.open).toBe(0);
});
