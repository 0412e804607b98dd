import { createServer, type AddressInfo, type Server } from 'node:net';

import { afterEach, describe, expect, test } from '@jest/globals';
import { HalleyError } from '@halley/protocol/error';

import { findPortHolder, listeningInodes, requireFreePorts } from './port-holder.js';
import { explainStartFailure } from './start-failure.js';

const TABLE = `  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode
   0: 0100007F:0C1D 00000000:0000 0A 00000000:00000000 00:00000000 00000000  1000        0 4711 1 0 100 0 0 10 0
   1: 0100007F:0C1D 0100007F:1234 01 00000000:00000000 00:00000000 00000000  1000        0 4712 1 0 100 0 0 10 0
   2: 0100007F:0C1E 00000000:0000 0A 00000000:00000000 00:00000000 00000000  1000        0 4713 1 0 100 0 0 10 0
`;

let server: Server | undefined;
afterEach(() => {
  server?.close();
});

async function listen(): Promise<number> {
  const listening = createServer();
  server = listening;
  await new Promise<void>((resolve) => listening.listen(0, '127.0.0.1', resolve));
  return (listening.address() as AddressInfo).port;
}

test('only sockets that listen on the port count', () => {
  expect(listeningInodes(TABLE, 3101)).toEqual(['4711']);
  expect(listeningInodes(TABLE, 4660)).toEqual([]);
});

test('free ports and port 0 are no trouble', async () => {
  const port = await listen();
  await new Promise((resolve) => server?.close(resolve));
  await expect(
    requireFreePorts([
      { host: '127.0.0.1', port },
      { host: '127.0.0.1', port: 0 },
    ]),
  ).resolves.toBeUndefined();
});

const onLinux = process.platform === 'linux' ? describe : describe.skip;
onLinux('on Linux', () => {
  test('the holder is found with its command', async () => {
    const holder = await findPortHolder(await listen());
    expect(holder?.pid).toBe(process.pid);
    expect(holder?.command).toContain('node');
  });
});

test.each([
  [0, '--port-offset 100'],
  [250, '--port-offset 350'],
  [undefined, 'another --port-offset'],
])('with the offset %s the remedy for a taken port is %s', async (offset, remedy) => {
  const claim = { host: '127.0.0.1', port: await listen(), ...(offset === undefined ? {} : { offset }) };
  await expect(requireFreePorts([claim])).rejects.toThrow(new RegExp(`start with ${remedy}$`));
});

test('an address that the machine does not have is told with its remedy', async () => {
  const claim = { host: '192.0.2.1', port: 3101 };
  await expect(requireFreePorts([claim])).rejects.toThrow(
    'cannot bind 192.0.2.1:3101: this machine has no such address; set --bind to one that it has',
  );
});

describe('a failing start is explained', () => {
  test('from the error of net', async () => {
    const port = await listen();
    const error = await new Promise<Error>((resolve) =>
      createServer().once('error', resolve).listen(port, '127.0.0.1'),
    );
    expect(await explainStartFailure(error)).toContain(`port 127.0.0.1:${port} is taken`);
  });

  test('from the error of gRPC, also as a cause', async () => {
    const port = await listen();
    const grpc = new Error(
      `No address added out of total 1 resolved errors: [listen EADDRINUSE: address already in use 127.0.0.1:${port}]`,
    );
    const line = await explainStartFailure(
      new HalleyError('internal', 'gRPC did not start', { cause: grpc }),
    );
    expect(line).toContain(`port 127.0.0.1:${port} is taken`);
  });

  test('as it is when it is nothing special', async () => {
    expect(await explainStartFailure(new Error('no\nluck'))).toBe('no luck');
    expect(await explainStartFailure('text')).toBe('text');
  });
});
