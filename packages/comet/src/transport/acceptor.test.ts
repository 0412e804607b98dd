import { once } from 'node:events';
import { connect, type Socket } from 'node:net';

import { afterEach, describe, expect, test } from '@jest/globals';
import { CloseCode } from '@halley/protocol/close-code';
import { encodeFrame } from '@halley/protocol/frame';

import { TEST_CERT, TEST_KEY } from '../testing/certificate.js';
import { CometHarness, until } from '../testing/harness.js';
import { frame } from '../testing/test-client.js';

describe('limits and proxies', () => {
  let harness: CometHarness | undefined;
  afterEach(() => harness?.stop());

  test('the node takes no more connections than configured, and takes them again when some have gone', async () => {
    harness = await CometHarness.start({ limits: { maxConnections: 2, maxConnectionsPerAddress: 0 } });
    const first = await harness.tcpOf({ mid: 1 });
    await harness.tcpOf({ mid: 2 });
    const third = await harness.tcp();
    await third.end();
    first.close();
    await until(() => harness?.comet.counter.open === 1);
    expect((await harness.tcp().then((client) => client.auth({ mid: 3 }))).op).toBe(8);
  });

  test('an address takes no more connections than configured', async () => {
    harness = await CometHarness.start({ limits: { maxConnections: 100, maxConnectionsPerAddress: 1 } });
    await harness.wsOf({ mid: 1 });
    const second = await harness.ws();
    expect((await second.end()).code).toBe(CloseCode.TooManyConnections);
  });

  test('one port of a client may have connections to several ports of the node', async () => {
    const { boundPorts } = (harness = await CometHarness.start()).comet;
    // Below those that the system gives out.
    const localPort = 20_000 + Math.floor(Math.random() * 10_000);
    const open = async (port: number): Promise<Socket> => {
      const socket = connect({ host: '127.0.0.1', port, localAddress: '127.0.0.1', localPort });
      await once(socket, 'connect');
      return socket;
    };
    const websocket = await open(boundPorts.ws);
    await until(() => harness?.comet.counter.sockets === 1);
    const tcp = await open(boundPorts.tcp);
    await until(() => harness?.comet.counter.sockets === 2);
    tcp.destroy();
    await until(() => harness?.comet.counter.sockets === 1);
    websocket.write(
      'GET /sub HTTP/1.1\r\nhost: a\r\nconnection: upgrade\r\nupgrade: websocket\r\n' +
        'sec-websocket-version: 13\r\nsec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n',
    );
    const [answer] = (await Promise.race([once(websocket, 'data'), once(websocket, 'close')])) as unknown[];
    expect(String(answer)).toMatch(/^HTTP\/1.1 101 /);
    websocket.destroy();
  });

  test.each(['tls', 'wss'] as const)('a %s handshake that does not end is cut off in time', async (kind) => {
    harness = await CometHarness.start({
      tls: { cert: TEST_CERT, key: TEST_KEY },
      session: { handshakeTimeoutMs: 300, closeTimeoutMs: 100, maxEarlyBytes: 1_024 },
    });
    const silent = connect({ host: '127.0.0.1', port: harness.comet.boundPorts[kind] ?? 0 });
    silent.on('error', () => undefined);
    const startedMs = performance.now();
    await once(silent, 'close');
    expect(performance.now() - startedMs).toBeGreaterThan(250);
    await until(() => harness?.comet.counter.sockets === 0);
  });

  test.each([
    ['version 1', Buffer.from('PROXY TCP4 203.0.113.7 10.0.0.1 5555 3101\r\n')],
    [
      'version 2',
      Buffer.concat([
        Buffer.from('\r\n\r\n\0\r\nQUIT\n'),
        Buffer.from([0x21, 0x11, 0, 12, 203, 0, 113, 7, 10, 0, 0, 1, 0x15, 0xb3, 0x0c, 0x1d]),
      ]),
    ],
  ])(
    'a PROXY header of %s from a trusted address names the client, over TCP and before HTTP',
    async (_name, header) => {
      harness = await CometHarness.start({ trustedProxies: ['127.0.0.0/8'] });
      const seen: string[] = [];
      const connectTo = harness.logic.connect.bind(harness.logic);
      harness.logic.connect = (ask) => {
        seen.push(ask.clientIp);
        return connectTo(ask);
      };
      const whole = await harness.tcp();
      whole.write(Buffer.concat([header, encodeFrame(frame(7, '{"mid":1}'))]));
      expect((await whole.next()).op).toBe(8);
      const dribbled = await harness.tcp();
      for (const byte of header) {
        dribbled.write(Buffer.from([byte]));
        await new Promise((resolve) => setImmediate(resolve));
      }
      dribbled.send(frame(7, '{"mid":1}'));
      expect((await dribbled.next()).op).toBe(8);
      const plain = await harness.tcp();
      plain.send(frame(7, '{"mid":1}'));
      expect((await plain.next()).op).toBe(8);
      expect(seen).toEqual(['203.0.113.7', '203.0.113.7', '127.0.0.1']);

      const http = connect(harness.comet.boundPorts.ws, '127.0.0.1');
      http.write(header);
      http.write(
        'GET /sub HTTP/1.1\r\nhost: x\r\nupgrade: websocket\r\nconnection: Upgrade\r\n' +
          'sec-websocket-version: 13\r\nsec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n',
      );
      const reply = await new Promise<string>((resolve) =>
        http.once('data', (data) => resolve(data.toString())),
      );
      expect(reply).toContain('101 Switching Protocols');
      http.destroy();
    },
  );

  test('from anybody else a PROXY header is a malformed frame', async () => {
    harness = await CometHarness.start({ trustedProxies: ['10.0.0.0/8'] });
    const client = await harness.tcp();
    client.write(Buffer.from('PROXY TCP4 203.0.113.7 10.0.0.1 5555 3101\r\n'));
    expect((await client.end()).code).toBe(0);
  });

  test('X-Forwarded-For is taken from trusted addresses only', async () => {
    const headers = { 'x-forwarded-for': '198.51.100.1, 203.0.113.9' };
    for (const [trusted, expected] of [
      [['127.0.0.1'], '203.0.113.9'],
      [[], '127.0.0.1'],
    ] as const) {
      harness = await CometHarness.start({ trustedProxies: trusted });
      let seen = '';
      const connectTo = harness.logic.connect.bind(harness.logic);
      harness.logic.connect = (ask) => {
        seen = ask.clientIp;
        return connectTo(ask);
      };
      const client = await harness.ws({ headers });
      await client.auth({ mid: 1 });
      expect(seen).toBe(expected);
      await harness.stop();
    }
  });
});
