import { once } from 'node:events';
import { type AddressInfo, connect, createServer, type Socket } from 'node:net';
import { setTimeout as sleep } from 'node:timers/promises';

import { expect, test } from '@jest/globals';

import { Relay } from './relay.js';

test('a relay that is cut hands over nothing, and all of it when it is mended', async () => {
  const echo = createServer((socket) => socket.on('error', () => undefined).pipe(socket)).listen(
    0,
    '127.0.0.1',
  );
  await once(echo, 'listening');
  const relay = await Relay.open(`127.0.0.1:${(echo.address() as AddressInfo).port}`);
  const heard: string[] = [];
  const client = (name: string): Socket => {
    const socket = connect({ host: '127.0.0.1', port: Number(relay.address.split(':')[1]) });
    socket.on('data', (data) => heard.push(`${name} ${data.toString()}`));
    return socket;
  };
  const before = client('before');
  before.write('1');
  while (heard.length < 1) await sleep(5);

  relay.cut();
  before.write('2');
  const meanwhile = client('meanwhile');
  await once(meanwhile, 'connect');
  meanwhile.write('3');
  await sleep(50);
  expect(heard).toEqual(['before 1']);

  relay.mend();
  while (heard.length < 3) await sleep(5);
  expect(heard.toSorted()).toEqual(['before 1', 'before 2', 'meanwhile 3']);
  await relay.close();
  echo.close();
});
