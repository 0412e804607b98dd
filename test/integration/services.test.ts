import { execFile, spawn } from 'node:child_process';
import { mkdtemp, rm } from 'node:fs/promises';
import http from 'node:http';
import type net from 'node:net';
import os from 'node:os';
import path from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { afterEach, beforeEach, expect, test } from '@jest/globals';
import { isAlive } from '@halley/services/cache';
import { freePort } from '@halley/services/free-port';
import { startKafka } from '@halley/services/kafka';
import { mariadbUrl, startMariadb } from '@halley/services/mariadb';
import { startNginx } from '@halley/services/nginx';
import { probe } from '@halley/services/probe';
import { startRedis } from '@halley/services/redis';
import { startZooKeeper } from '@halley/services/zookeeper';
import { createConnection } from 'mysql2/promise';

let dir: string;

beforeEach(async () => {
  dir = await mkdtemp(path.join(os.tmpdir(), 'halley-services-'));
});

afterEach(async () => {
  await rm(dir, { recursive: true, force: true });
});

function ask(port: number, command: string): Promise<boolean> {
  return probe(port, `${command}\r\n`, (answer) => answer.includes('\r\n'));
}

test('the services of the run are the real ones, on this machine only', async () => {
  for (const service of ['KAFKA', 'ZOOKEEPER', 'REDIS', 'MARIADB']) {
    expect(process.env[`HALLEY_TEST_${service}`]).toMatch(/^127\.0\.0\.1:\d+$/);
  }
  const port = Number(process.env['HALLEY_TEST_REDIS']?.split(':')[1]);
  expect(await probe(port, 'INFO server\r\n', (answer) => answer.includes('redis_version:7.0.'))).toBe(true);
});

test('a Redis that is started again keeps its port and has forgotten everything', async () => {
  const redis = await startRedis({ dir });
  const { port, pid } = redis;
  expect(await probe(port, 'SET a 1\r\n', (answer) => answer.includes('+OK'))).toBe(true);
  expect(await probe(port, 'GET a\r\n', (answer) => answer.includes('$1'))).toBe(true);
  await redis.restart();
  expect(redis.port).toBe(port);
  expect(redis.pid).not.toBe(pid);
  expect(await probe(port, 'GET a\r\n', (answer) => answer.includes('$-1'))).toBe(true);
  await redis.stop();
  expect(redis.pid).toBeUndefined();
  expect(await ask(port, 'PING')).toBe(false);
});

test('a MariaDB that is killed comes back on its port with what it had answered', async () => {
  const mariadb = await startMariadb({ dir });
  const { port } = mariadb;
  const ask = async <Row>(statement: string): Promise<Row> => {
    const connection = await createConnection(mariadbUrl(mariadb.address));
    const [rows] = await connection.query(statement);
    await connection.end();
    return rows as Row;
  };
  expect(await ask<unknown[]>('SELECT VERSION() AS version')).toEqual([
    { version: expect.stringMatching(/^10\.11\..*MariaDB/) },
  ]);
  await ask('CREATE TABLE kept (x INT)');
  await ask('INSERT INTO kept VALUES (7)');
  await mariadb.kill();
  await mariadb.start();
  expect(mariadb.port).toBe(port);
  expect(await ask<unknown[]>('SELECT x FROM kept')).toEqual([{ x: 7 }]);
  await mariadb.stop();
});

test('a paused service keeps its port and says nothing until it is resumed', async () => {
  const redis = await startRedis({ dir });
  redis.pause();
  expect(await ask(redis.port, 'PING')).toBe(false);
  redis.resume();
  expect(await ask(redis.port, 'PING')).toBe(true);
  redis.pause();
  await redis.stop();
  expect(redis.alive).toBe(false);
});

test('a killed ZooKeeper and a killed Kafka come back on their ports', async () => {
  const zookeeper = await startZooKeeper({ dir: path.join(dir, 'zookeeper') });
  const kafka = await startKafka({ dir: path.join(dir, 'kafka') });
  for (const service of [zookeeper, kafka]) {
    await service.kill();
    expect(service.ending).toBe('signal SIGKILL');
    await service.start();
    expect(service.alive).toBe(true);
  }
  await Promise.all([zookeeper.stop(), kafka.stop()]);
}, 60_000);

test('a service that cannot start says why', async () => {
  const redis = await startRedis({ dir: path.join(dir, 'one') });
  const second = startRedis({ dir: path.join(dir, 'two'), port: redis.port });
  await expect(second).rejects.toThrow(`Redis did not start: port ${redis.port} is in use.`);
  await redis.stop();
  const broken = startNginx({ dir, config: 'events {} nonsense;', ports: [await freePort()] });
  await expect(broken).rejects.toThrow(
    /nginx did not start: it ended with exit code 1\. Log: .*nginx\.log\n.*unknown directive "nonsense"/,
  );
});

test('nginx passes HTTP and plain TCP through', async () => {
  const origin = http.createServer((_request, response) => response.end('origin'));
  await new Promise<void>((resolve) => origin.listen(0, '127.0.0.1', resolve));
  const target = `127.0.0.1:${(origin.address() as net.AddressInfo).port}`;
  const ports: [number, number] = [await freePort(), await freePort()];
  const config = `load_module modules/ngx_stream_module.so;
events {}
http {
  include mime.types;
  server { listen 127.0.0.1:${ports[0]}; location / { proxy_pass http://${target}; } }
}
stream { server { listen 127.0.0.1:${ports[1]}; proxy_pass ${target}; } }
`;
  const nginx = await startNginx({ dir, config, ports });
  for (const port of ports) {
    const answer = await fetch(`http://127.0.0.1:${port}/`);
    expect(await answer.text()).toBe('origin');
  }
  await nginx.stop();
  await new Promise((resolve) => origin.close(resolve));
});

test('services do not outlive a process that is killed', async () => {
  const module = new URL('../../scripts/services/dist/redis.js', import.meta.url);
  const script = `const { startRedis } = await import(${JSON.stringify(module.href)});
    const redis = await startRedis({ dir: ${JSON.stringify(dir)} });
    console.log(redis.pid);
    setInterval(() => {}, 1000);`;
  const parent = spawn(process.execPath, ['--input-type=module', '-e', script], {
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  const pid = await new Promise<number>((resolve) =>
    parent.stdout.once('data', (text: Buffer) => resolve(Number(text.toString()))),
  );
  expect(isAlive(pid)).toBe(true);
  parent.kill('SIGKILL');
  for (let i = 0; i < 100 && (await state(pid)) !== 'gone'; i += 1) await delay(50);
  expect(await state(pid)).toBe('gone');
});

/** A killed process whose new parent doesn't collect it is a zombie: gone as well. */
function state(pid: number): Promise<'gone' | 'running'> {
  return new Promise((resolve) => {
    execFile('ps', ['-o', 'stat=', '-p', String(pid)], (_error, stdout) => {
      const stat = stdout.trim();
      resolve(stat === '' || stat.startsWith('Z') ? 'gone' : 'running');
    });
  });
}
