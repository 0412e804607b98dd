import { once } from 'node:events';
import { createServer, type Server } from 'node:http';
import { type AddressInfo, connect, type Socket } from 'node:net';
import { setTimeout as sleep } from 'node:timers/promises';

import { afterEach, beforeEach, expect, test } from '@jest/globals';

import { drainHttp } from './http-drain.js';

let server: Server;
let stopping: boolean;
let sockets: Socket[];

beforeEach(async () => {
  stopping = false;
  sockets = [];
  server = createServer((request, response) => {
    if (stopping) response.setHeader('connection', 'close');
    if (request.url !== '/never') response.end('answer');
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
});

afterEach(() => {
  for (const socket of sockets) socket.destroy();
  server.closeAllConnections();
});

/** A connection that is kept, with one request answered. */
async function kept(): Promise<Socket> {
  const socket = connect((server.address() as AddressInfo).port, '127.0.0.1');
  sockets.push(socket);
  socket.on('error', () => undefined);
  expect(await ask(socket, '/')).toContain('200 OK');
  return socket;
}

async function ask(socket: Socket, path: string): Promise<string> {
  socket.write(`GET ${path} HTTP/1.1\r\nhost: here\r\n\r\n`);
  const [answer] = (await once(socket, 'data')) as [Buffer];
  return answer.toString();
}

test('what is asked on a kept connection after the stop began is answered, and ends the connection', async () => {
  const [asking, silent] = [await kept(), await kept()];
  const { port } = server.address() as AddressInfo;
  stopping = true;
  const since = performance.now();
  const drained = drainHttp(server, 400);
  await sleep(50);
  const ended = once(asking, 'end');
  expect(await ask(asking, '/')).toMatch(/200 OK[^]*connection: close/i);
  await ended;
  // The other one is closed after half of the deadline.
  await once(silent, 'end');
  expect(performance.now() - since).toBeGreaterThan(150);
  await drained;
  const late = connect(port, '127.0.0.1');
  sockets.push(late);
  await expect(once(late, 'connect')).rejects.toThrow('ECONNREFUSED');
});

test('it ends at the deadline, whatever is still asked', async () => {
  const socket = await kept();
  socket.write('GET /never HTTP/1.1\r\nhost: here\r\n\r\n');
  await once(server, 'request');
  const since = performance.now();
  await drainHttp(server, 200);
  expect(performance.now() - since).toBeGreaterThan(150);
});
