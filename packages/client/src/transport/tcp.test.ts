import net, { type AddressInfo, type Socket } from 'node:net';

import { afterEach, beforeEach, expect, test } from '@jest/globals';

import { tcpTransport } from './tcp.js';
import type { Transport } from './transport.js';

let server: net.Server;
let address = '';
let accepted: Promise<Socket>;

beforeEach(async () => {
  server = net.createServer();
  accepted = new Promise((resolve) => server.once('connection', resolve));
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  address = `tcp://127.0.0.1:${(server.address() as AddressInfo).port}`;
});

afterEach(() => new Promise((resolve) => server.close(resolve)));

/** What a transport tells, as promises. */
function open(to: string): {
  readonly transport: Transport;
  readonly opened: Promise<void>;
  readonly closed: Promise<string>;
  readonly received: Promise<string>;
} {
  let tellOpened = (): void => undefined;
  let tellClosed = (_text: string): void => undefined;
  let tellReceived = (_text: string): void => undefined;
  const opened = new Promise<void>((resolve) => (tellOpened = resolve));
  const closed = new Promise<string>((resolve) => (tellClosed = resolve));
  const received = new Promise<string>((resolve) => (tellReceived = resolve));
  const transport = tcpTransport()(to, {
    opened: () => tellOpened(),
    received: (bytes) => tellReceived(Buffer.from(bytes).toString()),
    closed: (_code, text) => tellClosed(text),
  });
  return { transport, opened, closed, received };
}

test('carries bytes both ways, and tells its end', async () => {
  const { transport, opened, received, closed } = open(address);
  await opened;
  const socket = await accepted;
  socket.write('from the server');
  expect(await received).toBe('from the server');
  const read = new Promise((resolve) => socket.once('data', (bytes) => resolve(bytes.toString())));
  transport.send(Buffer.from('from the client'));
  expect(await read).toBe('from the client');
  socket.end();
  expect(await closed).toBe('');
});

test('what was sent ahead of close arrives', async () => {
  const { transport, opened, closed } = open(address);
  await opened;
  const socket = await accepted;
  const chunks: Buffer[] = [];
  const ended = new Promise((resolve) => socket.once('end', resolve));
  socket.on('data', (bytes) => chunks.push(bytes));
  transport.send(Buffer.alloc(500_000));
  transport.close();
  await ended;
  expect(Buffer.concat(chunks)).toHaveLength(500_000);
  socket.destroy();
  await closed;
});

test('a server that is not there is told', async () => {
  const { port } = server.address() as AddressInfo;
  await new Promise((resolve) => server.close(resolve));
  expect(await open(`tcp://127.0.0.1:${port}`).closed).toContain('ECONNREFUSED');
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
});

test('closed ahead of its opening it is told as closed', async () => {
  const { transport, closed } = open(address);
  transport.close();
  expect(await closed).toBe('');
});
