import { randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { createServer } from 'node:http';
import { type AddressInfo, connect } from 'node:net';
import os from 'node:os';
import path from 'node:path';
import { fileURLToPath } from 'node:url';

import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import { freePort } from '@halley/services/free-port';
import { startNginx } from '@halley/services/nginx';
import type { RunningService } from '@halley/services/running-service';
import { encodeFrame } from '@halley/protocol/frame';
import { WebSocket } from 'ws';

import type { GoimClient, Transport } from '../harness/goim-client.js';
import { startHalley, type StartedHalley } from '../harness/halley-process.js';
import { HttpGoimClient } from '../harness/http-client.js';
import { HttpApi } from '../harness/http.js';
import { TcpClient } from '../harness/tcp-client.js';
import { isHttp } from '../harness/transports.js';
import { newMid } from '../harness/unique.js';
import { WsClient } from '../harness/ws-client.js';

const DEPLOY = fileURLToPath(new URL('../../deploy/nginx/', import.meta.url));
const AUTH = Buffer.from(encodeFrame({ ver: 1, op: 7, seq: 1, body: Buffer.from('{"mid":1}') }));

/** nginx before these comets, with its configuration as it is but for ports and for the path of Debian's modules. */
async function nginxBefore(
  dir: string,
  comet: string,
  webSockets: readonly string[],
): Promise<{ nginx: RunningService; tcp: string; ws: string }> {
  const [tcpPort, wsPort] = [await freePort(), await freePort()];
  const config = (await readFile(path.join(DEPLOY, 'nginx.conf'), 'utf8'))
    .replace('include /etc/nginx/modules-enabled/*.conf;', 'load_module modules/ngx_stream_module.so;')
    .replace('listen 3101;', `listen 127.0.0.1:${tcpPort};`)
    .replace('listen 3102;', `listen 127.0.0.1:${wsPort};`);
  await writeFile(path.join(dir, 'tcp-comets.conf'), `server ${comet} max_fails=1 fail_timeout=2s;\n`);
  await writeFile(path.join(dir, 'ws-comets.conf'), webSockets.map((host) => `server ${host};\n`).join(''));
  const nginx = await startNginx({ dir, config, ports: [tcpPort, wsPort] });
  return { nginx, tcp: `127.0.0.1:${tcpPort}`, ws: `ws://127.0.0.1:${wsPort}/sub` };
}

describe('the real nginx with deploy/nginx', () => {
  let halley: StartedHalley;
  let nginx: RunningService;
  let dir: string;
  let tcp: string;
  let ws: string;

  beforeAll(async () => {
    halley = await startHalley(['--proxy.trusted', '127.0.0.1/32']);
    dir = await mkdtemp(path.join(os.tmpdir(), 'halley-nginx-'));
    ({ nginx, tcp, ws } = await nginxBefore(dir, halley.target.tcp, [new URL(halley.target.ws).host]));
  });
  afterAll(async () => {
    await nginx?.stop();
    await halley?.stop();
    await rm(dir, { recursive: true, force: true });
  });

  const connectTo = async (transport: Transport): Promise<GoimClient> => {
    if (isHttp(transport)) return new HttpGoimClient(transport, ws);
    return transport === 'tcp' ? TcpClient.connect(tcp) : WsClient.connect(ws);
  };

  test.each(['tcp', 'ws', 'sse', 'poll'] as const)(
    'passes %s through: auth, a reply, a push of 1 MB',
    async (transport) => {
      const mid = newMid();
      const client = await connectTo(transport);
      await client.auth({ mid, accepts: [1000] });
      expect(await client.heartbeat()).toBe(0);
      const body = Buffer.alloc(1_000_000, 'x');
      const http = new HttpApi(halley.target.logicHttp);
      expect((await http.post('/goim/push/mids', { operation: 1000, mids: mid }, body)).status).toBe(200);
      const push = await client.next(10_000);
      expect([push.op, Buffer.compare(push.body, body)]).toEqual([1000, 0]);
      for (const text of ['1', '2', '3']) {
        await http.post('/goim/push/mids', { operation: 1000, mids: mid }, text);
        expect((await client.next()).body.toString()).toBe(text);
      }
      expect(client.breaches).toEqual([]);
      client.close();
    },
  );

  test('hands comet the clients’ own addresses', async () => {
    // Two clients over TCP and two over WebSocket, from four addresses of this machine.
    const [host, port] = tcp.split(':');
    const sockets = ['127.0.0.2', '127.0.0.3'].map((localAddress) =>
      connect({ host: host!, port: Number(port), localAddress }),
    );
    await Promise.all(sockets.map((socket) => once(socket, 'connect')));
    const webSockets = ['127.0.0.4', '127.0.0.5'].map((localAddress) => new WebSocket(ws, { localAddress }));
    await Promise.all(webSockets.map((socket) => once(socket, 'open')));
    for (const socket of sockets) socket.write(AUTH);
    for (const socket of webSockets) socket.send(AUTH);
    const http = new HttpApi(halley.target.logicHttp);
    let total: unknown;
    for (let tries = 0; tries < 30; tries += 1) {
      total = JSON.parse((await http.get('/goim/online/total')).text).data;
      if ((total as { ip_count: number }).ip_count === 4) break;
      await new Promise((resolve) => setTimeout(resolve, 500));
    }
    expect(total).toEqual({ conn_count: 4, ip_count: 4 });
    for (const socket of sockets) socket.destroy();
    for (const socket of webSockets) socket.terminate();
  });

  test('sends all requests of a session to one comet, and a refusal to the client', async () => {
    // It takes no session, and says so, as a comet does that is about to stop.
    const draining: string[] = [];
    const other = createServer(({ headers }, response) => {
      draining.push(String(headers['halley-session']));
      response.writeHead(503).end();
    });
    await once(other.listen(0, '127.0.0.1'), 'listening');
    const { port } = other.address() as AddressInfo;
    const second = await mkdtemp(path.join(os.tmpdir(), 'halley-nginx-'));
    const hosts = [new URL(halley.target.ws).host, `127.0.0.1:${port}`];
    const before = await nginxBefore(second, halley.target.tcp, hosts);
    const statuses = await Promise.all(
      Array.from({ length: 24 }, async () => {
        const headers = {
          'halley-session': randomBytes(16).toString('base64url'),
          authorization: `Bearer ${Buffer.from('{}').toString('base64url')}`,
        };
        const ask = async (method: string, asked: string): Promise<number> => {
          const url = before.ws.replace('ws:', 'http:').replace('/sub', asked);
          const response = await fetch(url, { method, headers });
          await response.arrayBuffer();
          return response.status;
        };
        const asked = [
          await ask('GET', '/poll?after=0'),
          await ask('POST', '/send?n=1'),
          await ask('GET', '/poll?after=1&wait_ms=1'),
          await ask('DELETE', '/session'),
        ];
        return asked.join();
      }),
    );
    // Whom the draining one refused would choose another id.
    expect(new Set(statuses)).toEqual(new Set(['200,204,204,204', '503,503,503,503']));
    expect(draining.length).toBe(4 * statuses.filter((all) => all.startsWith('503')).length);
    // WebSocket is tried at the next one.
    for (let i = 0; i < 4; i += 1) (await WsClient.connect(before.ws)).close();
    await before.nginx.stop();
    other.close();
    await rm(second, { recursive: true, force: true });
  });

  test('answers 404 to what is no path of theirs', async () => {
    const response = await fetch(ws.replace('ws:', 'http:').replace('/sub', '/other'));
    expect(response.status).toBe(404);
  });
});
