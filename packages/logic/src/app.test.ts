import { createServer } from 'node:net';

import { call } from '@halley/cluster/grpc/client';
import { EmbeddedRegistry } from '@halley/cluster/registry/embedded';
import { loadConfig } from '@halley/service/config';
import { createLogger, silentLogger } from '@halley/service/log';
import { Metrics } from '@halley/service/metrics';
import { EmbeddedRoutes } from '@halley/store/routes/embedded';
import { afterEach, beforeEach, describe, expect, jest, test } from '@jest/globals';

import { createLogicApp } from './app.js';
import { checkLogicConfig, logicConfig } from './config.js';
import { embeddedStores } from './testing/embedded-stores.js';
import { FakeBus } from './testing/fake-bus.js';
import { type LogicFixture, startLogic } from './testing/logic-fixture.js';

const configure = (...flags: string[]) => loadConfig(logicConfig, { flags });
const check = (...flags: string[]) => checkLogicConfig(configure(...flags));

describe('a configuration that would let anybody in is refused, with the remedy', () => {
  const keys = ['--api.keys', '[{ name: a, key: b }]'];

  test('auth.mode open needs loopback or --insecure', () => {
    const open = ['--auth.mode', 'open', ...keys];
    expect(() => check(...open, '--bind', '0.0.0.0')).toThrow(/^auth\.mode open .*--insecure$/);
    expect(() => check(...open, '--bind', '0.0.0.0', '--insecure')).not.toThrow();
    expect(() => check(...open)).not.toThrow();
  });

  test('business APIs without keys need loopback or --insecure', () => {
    const token = ['--cluster.token', 'shared'];
    expect(() => check('--bind', '10.0.0.1', ...token)).toThrow(
      /^the business APIs have no keys.*--insecure$/,
    );
    const jwt = ['--auth.jwt.secret', 'secret', ...token];
    expect(() => check('--bind', '10.0.0.1', ...jwt, ...keys)).not.toThrow();
    expect(() => check('--bind', '10.0.0.1', ...jwt, '--insecure')).not.toThrow();
    expect(() => check('--bind', '::1', ...jwt)).not.toThrow();
  });

  test("the tiers' own gRPC without a token or mTLS needs loopback or --insecure", () => {
    const safe = ['--auth.jwt.secret', 'secret', ...keys];
    expect(() => check('--bind', '10.0.0.1', ...safe)).toThrow(
      /^the tiers' own gRPC .*cluster\.token.*--insecure$/,
    );
    expect(() => check('--bind', '10.0.0.1', ...safe, '--insecure')).not.toThrow();
  });

  test('--check-config finds what would end a start', () => {
    const open = ['--auth.mode', 'open'];
    expect(() => check()).toThrow('auth.jwt.jwksUrl');
    expect(() => check(...open, '--nodes.regions', '{ sh: [x] }')).toThrow('nodes.regions.sh: "x"');
    expect(() => check(...open, '--api.keys', '[{ name: a }]')).toThrow('api.keys[0]: give key or sha256');
  });

  test('a start says so before it opens anything', async () => {
    const app = createLogicApp(configure('--auth.mode', 'open', '--bind', '0.0.0.0'), {
      log: silentLogger(),
    });
    await expect(app.start()).rejects.toMatchObject({ code: 'bad_config' });
    await app.stop(100);
  });

  test('jwt without a key is a bad configuration', async () => {
    const app = createLogicApp(configure(), { log: silentLogger() });
    await expect(app.start()).rejects.toMatchObject({
      code: 'bad_config',
      message: expect.stringContaining('auth.jwt'),
    });
  });

  test('an embedded adapter without the others in the process is refused', async () => {
    const ports = ['--grpc.port', '0', '--http.port', '0', '--ops.port', '0'];
    const config = configure('--auth.mode', 'open', '--registry.adapter', 'embedded', ...ports);
    const app = createLogicApp(config, { log: silentLogger(), metrics: new Metrics({ process: false }) });
    await expect(app.start()).rejects.toMatchObject({
      code: 'bad_config',
      message: expect.stringContaining('registry.adapter'),
    });
    expect(app.ready()).toContain('registry: not reached');
  });
});

describe('a running logic', () => {
  let bus: FakeBus;
  let logic: LogicFixture;
  beforeEach(async () => {
    bus = new FakeBus();
    logic = await startLogic(bus);
  });
  afterEach(() => logic.stop());

  const readiness = async () => {
    const response = await fetch(`${logic.ops}/readyz`);
    return { status: response.status, body: await response.json() };
  };

  test('registers where it is, and is ready', async () => {
    expect(logic.hub.list('logic')).toEqual([
      expect.objectContaining({
        state: 'serving',
        addresses: expect.objectContaining({
          grpc: expect.any(String),
          http: expect.any(String),
          ops: expect.any(String),
        }),
      }),
    ]);
    expect(await readiness()).toEqual({ status: 200, body: { ready: true } });
  });

  test('readiness names what is missing', async () => {
    bus.isHealthy = false;
    logic.routes.healthy = () => false;
    logic.stores.streams.healthy = () => false;
    expect(await readiness()).toEqual({
      status: 503,
      body: {
        ready: false,
        missing: ['bus: not reached', 'route store: not reached', 'streams: not reached'],
      },
    });
    expect((await fetch(`${logic.ops}/healthz`)).status).toBe(200);
  });

  test('is ready while the archive is away, as pushes and connections do not need it', async () => {
    logic.stores.archive.healthy = () => false;
    expect((await readiness()).status).toBe(200);
  });

  test('shows its metrics with units', async () => {
    await fetch(`${logic.http}/goim/push/keys?operation=1&keys=a`, { method: 'POST', body: 'x' });
    const text = await (await fetch(`${logic.ops}/metrics`)).text();
    expect(text).toContain('halley_logic_pushes_total{target="keys",outcome="ok"} 1');
    expect(text).toContain('halley_logic_push_accept_seconds_count{target="keys"} 1');
    expect(text).toContain('halley_logic_pushes_in_flight 0');
    expect(text).toMatch(
      /halley_logic_http_request_seconds_count\{path="\/goim\/push\/keys",status="200"\} 1/,
    );
  });

  test('follows the comets of the registry', async () => {
    const total = async () => (await fetch(`${logic.http}/goim/online/total`)).text();
    expect(await total()).toContain('"conn_count":2');
    await logic.comet.update({ load: { connections: 5, ips: 4 } });
    expect(await total()).toContain('{"conn_count":5,"ip_count":4}');
    await logic.comet.update({ state: 'draining' });
    const weighted = await (await fetch(`${logic.http}/goim/nodes/weighted`)).text();
    expect(weighted).toContain('"nodes":["conn.goim.io"]');
  });

  test('a stop drains, answers what it has taken, and leaves the registry', async () => {
    bus.answer = undefined;
    const push = call(logic.push.Push.bind(logic.push), { target: { room: 'r' }, operation: 1, id: 'x' });
    const http = fetch(`${logic.http}/goim/push/all?operation=1`, { method: 'POST', body: 'x' });
    while (bus.calls.length < 2) await new Promise((resolve) => setTimeout(resolve, 2));
    const stopped = logic.app.stop(3_000);
    expect(logic.app.ready()).toEqual(['node: draining']);
    await new Promise((resolve) => setTimeout(resolve, 50));
    expect(logic.hub.list('logic').map(({ state }) => state)).toEqual(['draining']);
    for (const produced of bus.calls) produced.resolve();
    expect(await push).toMatchObject({ id: 'x' });
    expect(await (await http).text()).toBe('{"code":0,"message":""}');
    await stopped;
    expect(logic.hub.list('logic')).toEqual([]);
    await expect(fetch(`${logic.http}/goim/online/total`)).rejects.toThrow('fetch failed');
    await logic.app.stop(100);
  });
});

test('a taken port ends the start in one line, and nothing stays open', async () => {
  const log = silentLogger();
  const holder = createServer();
  await new Promise<void>((resolve) => holder.listen(0, '127.0.0.1', resolve));
  const { port } = holder.address() as { port: number };
  const registry = new EmbeddedRegistry({ log });
  await registry.start();
  const flags = ['--auth.mode', 'open', '--grpc.port', '0', '--http.port', String(port), '--ops.port', '0'];
  const bus = new FakeBus();
  const stores = await embeddedStores(bus);
  const app = createLogicApp(configure(...flags), {
    ...stores,
    registry,
    bus,
    routes: new EmbeddedRoutes({ leaseMs: 1_000 }),
    log,
    metrics: new Metrics({ process: false }),
  });
  await expect(app.start()).rejects.toThrow(String(port));
  expect((await registry.watch('logic')).nodes()).toEqual([]);
  await registry.stop(0);
  await stores.stop();
  await new Promise((resolve) => holder.close(resolve));
});

test('no token, body or API key is logged, also not at the finest level', async () => {
  const written = jest.spyOn(process.stderr, 'write').mockImplementation(() => true);
  const lines: string[] = [];
  const log = createLogger({ level: 'trace', format: 'json' });
  const stream = Reflect.get(
    log,
    Object.getOwnPropertySymbols(log).find((symbol) => symbol.description === 'pino.stream') as symbol,
  ) as {
    write: (line: string) => void;
  };
  stream.write = (line) => void lines.push(line);
  const bus = new FakeBus();
  const stores = await embeddedStores(bus);
  const registry = new EmbeddedRegistry({ log });
  await registry.start();
  const secrets = '[{ name: shop, key: the-api-key }]';
  const flags = [
    '--auth.mode',
    'open',
    '--grpc.port',
    '0',
    '--http.port',
    '0',
    '--ops.port',
    '0',
    '--api.keys',
    secrets,
  ];
  const app = createLogicApp(configure(...flags), {
    ...stores,
    registry,
    bus,
    routes: new EmbeddedRoutes({ leaseMs: 1_000 }),
    log,
    metrics: new Metrics({ process: false }),
  });
  await app.start();
  const path = `http://${app.node.addresses.http}/goim/push/all?operation=1`;
  const headers = { 'x-api-key': 'the-api-key' };
  await (await fetch(path, { method: 'POST', body: 'the-body', headers })).text();
  bus.answer = () => new Error('the bus failed');
  await (await fetch(path, { method: 'POST', body: 'the-body', headers })).text();
  await (
    await fetch(path, { method: 'POST', body: 'the-body', headers: { 'x-api-key': 'the-api-kex' } })
  ).text();
  await app.stop(1_000);
  await registry.stop(0);
  await stores.stop();
  written.mockRestore();
  expect(lines.length).toBeGreaterThan(0);
  expect(lines.join('')).not.toMatch(/the-api-ke|the-body/);
});
