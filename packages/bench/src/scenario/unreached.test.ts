import { createServer, type Server } from 'node:http';
import { type AddressInfo, createServer as createTcpServer, type Server as TcpServer } from 'node:net';

import { afterEach, expect, test } from '@jest/globals';

import type { Via } from './options.js';
import { checkPushWay } from './unreached.js';

const CLOSED = '127.0.0.1:1';
const servers: TcpServer[] = [];

afterEach(() => {
  for (const server of servers.splice(0)) server.close();
});

async function listening(server: Server | TcpServer): Promise<string> {
  servers.push(server);
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  return `127.0.0.1:${(server.address() as AddressInfo).port}`;
}

function answering(status: number): Promise<string> {
  return listening(
    createServer((_request, answer) => {
      answer.writeHead(status, { connection: 'close' }).end();
    }),
  );
}

function check(via: Via, http: string): Promise<void> {
  const target = {
    name: 'here',
    tcp: [],
    websocket: [],
    http: [http],
    grpc: [],
    cometGrpc: [],
    processes: [],
  };
  return checkPushWay({ target, via });
}

test('a server that answers is a way for pushes; one that asks for a key too', async () => {
  await expect(check('goim', await answering(200))).resolves.toBeUndefined();
  await expect(check('goim', await answering(401))).resolves.toBeUndefined();
  await expect(check('v1', await answering(404))).resolves.toBeUndefined();
});

test('where nothing listens, the address and the option are named', async () => {
  await expect(check('goim', CLOSED)).rejects.toThrow(
    "nothing listens at 127.0.0.1:1, where pushes go by logic's HTTP (--via goim): --http names another port",
  );
});

test('a web server without goim’s API, and what is no web server, are said to be that', async () => {
  const web = await answering(404);
  await expect(check('goim', web)).rejects.toThrow(`${web} has no /goim/online/total (404)`);
  const other = await listening(createTcpServer((socket) => socket.end('hello\r\n')));
  await expect(check('v1', other)).rejects.toThrow(`what listens at ${other} does not speak HTTP`);
});
