import { once } from 'node:events';
import path from 'node:path';
import { createRequire } from 'node:module';
import type { Duplex, Readable } from 'node:stream';
import { setTimeout as sleep } from 'node:timers/promises';

import { afterEach, describe, expect, test } from '@jest/globals';
import {
  ChannelCredentials,
  type Client,
  loadPackageDefinition,
  Metadata,
  type ServiceError,
  status,
} from '@grpc/grpc-js';
import { loadSync } from '@grpc/proto-loader';
import { HalleyError } from '@halley/protocol/error';
import { silentLogger } from '@halley/service/log';
import { Metrics } from '@halley/service/metrics';
import { protoPath as healthProto } from 'grpc-health-check';
import { pino } from 'pino';
import descriptor from 'protobufjs/ext/descriptor/index.js';

import { callerOf, sharedToken } from './auth.js';
import { call, createClient, type ClientDeps } from './client.js';
import { SessionService, startNode, type TestNode } from './fixture.js';
import type { SessionServiceClient } from './gen/halley/delivery/v1/SessionService.js';
import { bidiStream, cancelSignal, unary } from './handler.js';
import { protos } from './protos.js';
import { GrpcServer } from './server.js';
import { fromServiceError } from './status.js';

const REFLECTION_PROTO = path.join(
  path.dirname(createRequire(import.meta.url).resolve('@grpc/reflection')),
  '../proto/grpc/reflection/v1/reflection.proto',
);

const closers: (() => unknown)[] = [];
afterEach(async () => {
  for (const close of closers.splice(0).toReversed()) await close();
});

async function start(...args: Parameters<typeof startNode>): Promise<TestNode> {
  const node = await startNode(...args);
  closers.push(() => node.server.stop(0));
  return node;
}

function clientOf(node: TestNode, options: Partial<ClientDeps> = {}): SessionServiceClient {
  const target = `127.0.0.1:${node.server.boundPort}`;
  const client = createClient(SessionService, {
    log: silentLogger(),
    metrics: new Metrics({ process: false }),
    target,
    ...options,
  });
  closers.push(() => client.close());
  return client;
}

function connect(client: SessionServiceClient, metadata?: Metadata) {
  return call(client.Connect.bind(client), {}, metadata ? { metadata } : {});
}

type Tool = Client & Record<string, (...args: unknown[]) => unknown>;

/** A client made from a proto alone, as tools like grpcurl have it. */
function toolClient(proto: string, service: string, node: TestNode): Tool {
  const loaded = loadPackageDefinition(loadSync(proto, { enums: String, defaults: true }));
  const Constructor = service
    .split('.')
    .reduce<unknown>((at, name) => (at as Record<string, unknown>)[name], loaded);
  const client = new (Constructor as new (address: string, credentials: ChannelCredentials) => Tool)(
    `127.0.0.1:${node.server.boundPort}`,
    ChannelCredentials.createInsecure(),
  );
  closers.push(() => client.close());
  return client;
}

function askHealth(client: Tool, service: string): Promise<string> {
  return new Promise((resolve, reject) => {
    client['check']?.({ service }, (error: Error | null, reply?: { status: string }) =>
      error ? reject(error) : resolve(reply?.status ?? ''),
    );
  });
}

describe('a gRPC server', () => {
  test('answers the health service, by name of its services too', async () => {
    const client = toolClient(healthProto, 'grpc.health.v1.Health', await start('a'));
    expect(await askHealth(client, '')).toBe('SERVING');
    expect(await askHealth(client, 'halley.delivery.v1.SessionService')).toBe('SERVING');
    await expect(askHealth(client, 'no.such.Service')).rejects.toMatchObject({ code: status.NOT_FOUND });
  });

  test('lists its services, and only those, by reflection', async () => {
    const node = await start('a');
    const client = toolClient(REFLECTION_PROTO, 'grpc.reflection.v1.ServerReflection', node);
    const stream = client['serverReflectionInfo']?.() as Duplex;
    const answer = once(stream, 'data') as Promise<
      [{ listServicesResponse: { service: { name: string }[] } }]
    >;
    stream.write({ listServices: '' });
    const [{ listServicesResponse }] = await answer;
    stream.end();
    await once(stream.resume(), 'end');
    expect(listServicesResponse.service.map(({ name }) => name)).toEqual([
      'halley.delivery.v1.SessionService',
    ]);
  });

  test('tells by reflection what each file imports, so that tools find every type', async () => {
    const node = await start('a');
    const client = toolClient(REFLECTION_PROTO, 'grpc.reflection.v1.ServerReflection', node);
    const stream = client['serverReflectionInfo']?.() as Duplex;
    const answer = once(stream, 'data') as Promise<
      [{ fileDescriptorResponse: { fileDescriptorProto: Buffer[] } }]
    >;
    stream.write({ fileContainingSymbol: 'goim.comet.Comet' });
    const [{ fileDescriptorResponse }] = await answer;
    stream.end();
    await once(stream.resume(), 'end');
    const files = fileDescriptorResponse.fileDescriptorProto.map(
      (bytes) =>
        descriptor.FileDescriptorProto.decode(bytes).toJSON() as { name: string; dependency?: string[] },
    );
    expect(files.map(({ name, dependency }) => [name, dependency])).toEqual([
      ['goim_comet.proto', ['goim_protocol.proto']],
      ['goim_protocol.proto', undefined],
    ]);
  });

  test('answers UNIMPLEMENTED for a method without a handler', async () => {
    const client = clientOf(await start('a'));
    const error = await errorOf(call(client.Renew.bind(client), {}));
    expect(error.cause).toMatchObject({ code: status.UNIMPLEMENTED });
  });

  test('loses one call, and nothing else, to a handler that throws', async () => {
    const lines: string[] = [];
    const log = pino({ level: 'error' }, { write: (line: string) => void lines.push(line) });
    const fault = (): never => {
      throw new Error('a fault with a secret');
    };
    const node = await start(
      'a',
      {
        Renew: unary(async () => fault()),
        EnterRoom: fault,
        LeaveRoom: unary(() => fault()),
      },
      { log },
    );
    const client = clientOf(node);

    const answers = [
      call(client.Renew.bind(client), {}),
      call(client.EnterRoom.bind(client), {}),
      call(client.LeaveRoom.bind(client), {}),
    ];
    for (const answer of answers) {
      const error = await errorOf(answer);
      expect(error.code).toBe('internal');
      expect(error.message).not.toContain('secret');
    }

    expect(await connect(client)).toMatchObject({ key: 'a' });
    expect(lines).toHaveLength(3);
    expect(lines.every((line) => line.includes('a fault with a secret'))).toBe(true);
    expect(lines.join()).toContain('"method":"halley.delivery.v1.SessionService/Renew"');
  });

  test('ends one stream with the status of what its handler throws, at once or later', async () => {
    const server = new GrpcServer({
      host: '127.0.0.1',
      port: 0,
      log: silentLogger(),
      metrics: new Metrics(),
    });
    server.addService(protos.halley.delivery.v1.DeliveryService.service, {
      Deliver: bidiStream(async (stream) => {
        for await (const request of stream) {
          if ((request as { hello?: unknown }).hello) throw new HalleyError('wrong_incarnation');
          stream.write({ acks: {} });
        }
      }),
    });
    await server.start();
    closers.push(() => server.stop(0));
    const client = createClient(protos.halley.delivery.v1.DeliveryService, {
      log: silentLogger(),
      metrics: new Metrics({ process: false }),
      target: `127.0.0.1:${server.boundPort}`,
    });
    closers.push(() => client.close());

    const good = client.Deliver();
    good.write({ batches: {} });
    const [reply] = (await once(good, 'data')) as [{ acks?: object }];
    expect(reply.acks).toBeDefined();

    const bad = client.Deliver();
    const ended = new Promise<ServiceError>((resolve) => bad.on('error', resolve));
    bad.on('data', () => undefined);
    bad.write({ hello: {} });
    const error = await ended;
    expect(error.code).toBe(status.FAILED_PRECONDITION);
    expect(fromServiceError(error).code).toBe('wrong_incarnation');

    good.write({ batches: {} });
    await once(good, 'data');
    good.end();
    const [told] = (await once(good, 'status')) as [{ code: number }];
    expect(told.code).toBe(status.OK);
  });

  test('takes pushes and batches up to its limit, and refuses larger ones', async () => {
    const client = clientOf(await start('a', {}, { maxMessageBytes: 4_096 }));
    await call(client.Connect.bind(client), { token: Buffer.alloc(4_000) });
    const error = await errorOf(call(client.Connect.bind(client), { token: Buffer.alloc(5_000) }));
    expect(error.cause).toMatchObject({ code: status.RESOURCE_EXHAUSTED });
    const wide = clientOf(await start('b'));
    await call(wide.Connect.bind(wide), { token: Buffer.alloc(8 * 1_024 * 1_024) });
  });

  test('tells a handler when its caller has given up', async () => {
    const gone = deferred();
    const node = await start('a', {
      Connect: unary(async (_request, running) => {
        cancelSignal(running).addEventListener('abort', () => gone.resolve());
        await gone.promise;
        return {};
      }),
    });
    const client = clientOf(node);
    await errorOf(call(client.Connect.bind(client), {}, { deadlineMs: 100 }));
    await gone.promise;
    expect(gone).toBeDefined();
  });

  test('names the taken port and its holder', async () => {
    const { server } = await start('a');
    const error = await errorOf(startNode('b', {}, { port: server.boundPort, use: 'logic gRPC' }));
    expect(error.code).toBe('bad_config');
    expect(error.message).toContain(
      `logic gRPC port 127.0.0.1:${server.boundPort} is taken by pid ${process.pid}`,
    );
  });
});

describe('a gRPC server that stops', () => {
  test('is told NOT_SERVING by its health, and answers what it had begun', async () => {
    const begun = deferred();
    const node = await start('a', {
      Connect: unary(async () => {
        begun.resolve();
        await sleep(300);
        return { key: 'done' };
      }),
    });
    const client = clientOf(node);
    const watch = toolClient(healthProto, 'grpc.health.v1.Health', node)['watch']?.({
      service: '',
    }) as Readable;
    const seen: string[] = [];
    watch.on('data', ({ status: told }: { status: string }) => seen.push(told));
    watch.on('error', () => undefined);
    const answer = connect(client);
    await begun.promise;

    const startedMs = performance.now();
    await node.server.stop(5_000);

    expect(await answer).toMatchObject({ key: 'done' });
    // Not at the deadline.
    expect(performance.now() - startedMs).toBeLessThan(5_000);
    expect(seen).toEqual(['SERVING', 'NOT_SERVING']);
    await node.server.stop(5_000);
  });

  test('cuts off at the deadline what does not end', async () => {
    const node = await start('a', { Connect: () => undefined });
    const client = clientOf(node, { neverRetried: ['halley.delivery.v1.SessionService/Connect'] });
    const answer = errorOf(connect(client));
    await sleep(100);
    const startedMs = performance.now();

    await node.server.stop(300);

    expect(performance.now() - startedMs).toBeGreaterThan(250);
    expect((await answer).code).toBe('unavailable');
  });

  test('may be stopped before it is started', async () => {
    const server = new GrpcServer({
      host: '127.0.0.1',
      port: 0,
      log: silentLogger(),
      metrics: new Metrics(),
    });
    await server.stop(100);
    expect(server.boundPort).toBe(0);
  });
});

describe('authentication', () => {
  test('lets in who has the token of the cluster, and nobody else', async () => {
    const callers: (string | undefined)[] = [];
    const node = await start(
      'a',
      {
        Connect: unary(async (_request, running) => {
          callers.push(callerOf(running)?.name);
          return { key: 'in' };
        }),
      },
      { auth: sharedToken('s3cret') },
    );

    expect(await connect(clientOf(node, { token: 's3cret' }))).toMatchObject({ key: 'in' });
    for (const options of [{}, { token: 's3cre' }, { token: 's3cretx' }]) {
      const error = await errorOf(connect(clientOf(node, options)));
      expect(error.code).toBe('unauthenticated');
    }
    const basic = new Metadata();
    basic.set('authorization', 'Basic s3cret');
    expect((await errorOf(connect(clientOf(node), basic))).code).toBe('unauthenticated');
    expect(callers).toEqual(['cluster']);
  });

  test('asks a service for its own credentials, after a while when it must', async () => {
    const node = await start(
      'a',
      {},
      {
        auth: async ({ bearer, method }) => {
          await sleep(5);
          if (bearer !== 'key') throw new HalleyError('permission_denied', `not for ${method}`);
          return { name: 'business' };
        },
      },
    );
    expect(await connect(clientOf(node, { token: 'key' }))).toMatchObject({ key: 'a' });
    const error = await errorOf(connect(clientOf(node)));
    expect(error.message).toBe('not for halley.delivery.v1.SessionService/Connect');
  });

  test('is not asked of the health service', async () => {
    const node = await start('a', {}, { auth: sharedToken('s3cret') });
    expect(await askHealth(toolClient(healthProto, 'grpc.health.v1.Health', node), '')).toBe('SERVING');
  });

  test('lets everybody in without a token', async () => {
    const node = await start('a', {}, { auth: sharedToken('') });
    expect(await connect(clientOf(node))).toMatchObject({ key: 'a' });
  });
});

describe('the log of a gRPC server', () => {
  test('names method, code and duration, and neither token nor body', async () => {
    const lines: string[] = [];
    const log = pino({ level: 'trace' }, { write: (line: string) => void lines.push(line) });
    const node = await start('a', {}, { log, auth: sharedToken('s3cret') });
    const client = clientOf(node, { log, token: 's3cret' });
    await call(client.Connect.bind(client), { token: Buffer.from('the-body'), cookie: 'the-cookie' });

    expect(lines.map((line) => JSON.parse(line) as object)).toContainEqual(
      expect.objectContaining({
        method: 'halley.delivery.v1.SessionService/Connect',
        code: 'OK',
        durationMs: expect.any(Number),
      }),
    );
    expect(lines.join()).not.toMatch(/s3cret|the-body|the-cookie/);
  });
});

function deferred(): { readonly promise: Promise<void>; readonly resolve: () => void } {
  let resolve = (): void => undefined;
  const promise = new Promise<void>((settle) => {
    resolve = settle;
  });
  return { promise, resolve };
}

async function errorOf(promise: Promise<unknown>): Promise<HalleyError> {
  const error = await promise.then(
    () => undefined,
    (thrown: unknown) => thrown,
  );
  expect(error).toBeInstanceOf(HalleyError);
  return error as HalleyError;
}
