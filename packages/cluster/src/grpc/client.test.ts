import { afterEach, describe, expect, test } from '@jest/globals';
import { Metadata, status } from '@grpc/grpc-js';
import { HalleyError } from '@halley/protocol/error';
import { silentLogger } from '@halley/service/log';
import { Metrics } from '@halley/service/metrics';
import { newTrace } from '@halley/service/trace';

import { EmbeddedRegistry } from '../registry/embedded.js';
import { nodeRecord } from '../registry/fixture.js';
import type { Registration } from '../registry/registry.js';
import { call, createClient, tierClient, type TierClientDeps } from './client.js';
import { eventually, plainFailure, SessionService, startNode, type TestNode } from './fixture.js';
import type { SessionServiceClient } from './gen/halley/delivery/v1/SessionService.js';
import { remainingMs, traceOf, unary } from './handler.js';

const closers: (() => void | Promise<void>)[] = [];
afterEach(async () => {
  for (const close of closers.splice(0).toReversed()) await close();
});

function common() {
  return { log: silentLogger(), metrics: new Metrics({ process: false }) };
}

async function start(...args: Parameters<typeof startNode>): Promise<TestNode> {
  const node = await startNode(...args);
  closers.push(() => node.server.stop(0));
  return node;
}

function clientOf(node: TestNode): SessionServiceClient {
  const client = createClient(SessionService, { ...common(), target: `127.0.0.1:${node.server.boundPort}` });
  closers.push(() => client.close());
  return client;
}

/** A tier of nodes in a registry, and a client of it. */
class Cluster {
  readonly registry = new EmbeddedRegistry({ log: silentLogger() });
  readonly registrations = new Map<string, Registration>();

  async add(...args: Parameters<typeof startNode>): Promise<TestNode> {
    const node = await start(...args);
    this.registrations.set(node.name, await this.registry.register(node.record));
    return node;
  }

  async client(options: Partial<TierClientDeps> = {}): Promise<SessionServiceClient> {
    const view = await this.registry.watch('logic');
    const client = tierClient(SessionService, {
      ...common(),
      tier: 'logic',
      view,
      sessionTimeoutMs: 6_000,
      ...options,
    });
    closers.push(() => client.close());
    return client;
  }
}

async function cluster(): Promise<Cluster> {
  const made = new Cluster();
  await made.registry.start();
  return made;
}

async function askWho(client: SessionServiceClient): Promise<string> {
  const reply = await call(client.Connect.bind(client), {});
  return reply?.key ?? '';
}

async function askMany(client: SessionServiceClient, times: number): Promise<string[]> {
  const names: string[] = [];
  for (let i = 0; i < times; i += 1) names.push(await askWho(client));
  return names;
}

/** Asks until exactly these answer. */
async function expectAnswersFrom(client: SessionServiceClient, names: string[]): Promise<void> {
  await eventually(async () => {
    const answered = [...new Set(await askMany(client, 3 * names.length))].toSorted();
    return answered.join() === names.join();
  }, 2_000);
}

async function errorOf(promise: Promise<unknown>): Promise<HalleyError> {
  const error = await promise.then(
    () => undefined,
    (thrown: unknown) => thrown,
  );
  expect(error).toBeInstanceOf(HalleyError);
  return error as HalleyError;
}

describe('calls to a tier', () => {
  test('go round its nodes', async () => {
    const tier = await cluster();
    const a = await tier.add('a');
    const b = await tier.add('b');
    const client = await tier.client();
    await expectAnswersFrom(client, ['a', 'b']);

    const before = [a.calls(), b.calls()];
    await askMany(client, 20);

    expect(a.calls() - (before[0] ?? 0)).toBe(10);
    expect(b.calls() - (before[1] ?? 0)).toBe(10);
  });

  test('reach a node that joins within two seconds, and lose none meanwhile', async () => {
    const tier = await cluster();
    await tier.add('a');
    await tier.add('b');
    const client = await tier.client();
    await expectAnswersFrom(client, ['a', 'b']);

    await tier.add('c');

    await expectAnswersFrom(client, ['a', 'b', 'c']);
  });

  test('go on without error when a node stops', async () => {
    const tier = await cluster();
    await tier.add('a');
    const b = await tier.add('b');
    const client = await tier.client();
    await expectAnswersFrom(client, ['a', 'b']);

    const answers = Promise.all(Array.from({ length: 50 }, () => askMany(client, 4)));
    await b.server.stop(0);

    expect((await answers).flat()).toHaveLength(200);
    await expectAnswersFrom(client, ['a']);
  });

  test('return to a node soon after it was started again on its port', async () => {
    const tier = await cluster();
    const first = await tier.add('a');
    const client = await tier.client();
    await askWho(client);
    await first.server.stop(0);
    await errorOf(call(client.Connect.bind(client), {}, { deadlineMs: 300 }));

    await start('again', {}, { port: first.server.boundPort });

    await expectAnswersFrom(client, ['again']);
  });

  test('spare a draining node while another serves, and use it when none does', async () => {
    const tier = await cluster();
    await tier.add('a');
    await tier.add('b');
    const client = await tier.client();
    await expectAnswersFrom(client, ['a', 'b']);

    await tier.registrations.get('b')?.update({ state: 'draining' });
    await expectAnswersFrom(client, ['a']);
    expect(new Set(await askMany(client, 10))).toEqual(new Set(['a']));

    await tier.registrations.get('a')?.update({ state: 'draining' });
    await expectAnswersFrom(client, ['a', 'b']);
  });

  test('still reach a node that vanished from the registry while its connection works', async () => {
    const tier = await cluster();
    await tier.add('a');
    const client = await tier.client({ sessionTimeoutMs: 50 });
    await askWho(client);

    await tier.registrations.get('a')?.deregister();
    await new Promise((resolve) => setTimeout(resolve, 400));

    expect(await askWho(client)).toBe('a');
  });

  test('drop a vanished node whose connection is gone for two session timeouts', async () => {
    const tier = await cluster();
    const node = await tier.add('a');
    const client = await tier.client({ sessionTimeoutMs: 50 });
    await askWho(client);

    await tier.registrations.get('a')?.deregister();
    await node.server.stop(0);

    await eventually(async () => (await errorOf(askWho(client))).code === 'no_node');
    expect((await errorOf(askWho(client))).code).toBe('no_node');
  });

  test('fail with no_node within two seconds when there is none, and work once one is there', async () => {
    const tier = await cluster();
    const client = await tier.client();
    const startedMs = performance.now();

    const error = await errorOf(askWho(client));

    expect(error.code).toBe('no_node');
    expect(error.message).toBe('No node of the tier logic is registered.');
    expect(performance.now() - startedMs).toBeLessThan(2_500);
    await tier.add('a');
    expect(await askWho(client)).toBe('a');
  });

  test('wait a moment for the first node', async () => {
    const tier = await cluster();
    const client = await tier.client();
    const answer = askWho(client);
    await tier.add('a');
    expect(await answer).toBe('a');
  });

  test('fail with unavailable when the registered node does not answer', async () => {
    const tier = await cluster();
    await tier.registry.register(nodeRecord('gone'));
    const client = await tier.client();
    expect((await errorOf(askWho(client))).code).toBe('unavailable');
  });
});

describe('errors of a call', () => {
  test('come back as they were thrown, with the wait and without the cause', async () => {
    const node = await start('a', {
      Connect: unary(async () => {
        throw new HalleyError('overloaded', 'too many at once', { retryAfterMs: 250, cause: 'secret' });
      }),
    });
    const client = clientOf(node);

    const error = await errorOf(askWho(client));

    expect(error.code).toBe('overloaded');
    expect(error.message).toBe('too many at once');
    expect(error.retryAfterMs).toBe(250);
    const trailers = (error.cause as { metadata: { getMap(): Record<string, unknown> } }).metadata.getMap();
    expect(trailers).toMatchObject({
      'halley-code': 'overloaded',
      'halley-outcome': 'refused',
      'retry-after-ms': '250',
    });
    expect(JSON.stringify(trailers)).not.toContain('secret');
  });

  test('of which the outcome is unknown are not sent again', async () => {
    let calls = 0;
    const node = await start('a', {
      Connect: unary(async () => {
        calls += 1;
        throw new HalleyError('bus_unknown');
      }),
    });

    const error = await errorOf(askWho(clientOf(node)));

    expect(error.code).toBe('bus_unknown');
    expect(calls).toBe(1);
  });

  test('that are temporary are sent again', async () => {
    let calls = 0;
    const node = await start('a', {
      Connect: unary(async () => {
        calls += 1;
        if (calls < 3) throw new HalleyError('store_unavailable');
        return { key: 'third' };
      }),
    });
    expect(await askWho(clientOf(node))).toBe('third');
  });

  test('of a server that is not ours are told by their status', async () => {
    const node = await start('a', {
      Connect: (_call, callback) => callback(plainFailure(status.NOT_FOUND, 'no such thing')),
    });
    const error = await errorOf(askWho(clientOf(node)));
    expect(error.code).toBe('not_found');
    expect(error.message).toBe('no such thing');
  });

  test('say unavailable when the deadline passes without an answer', async () => {
    let leftMs = Infinity;
    const node = await start('a', {
      Connect: (running) => {
        leftMs = remainingMs(running);
      },
    });
    const client = clientOf(node);

    const error = await errorOf(call(client.Connect.bind(client), {}, { deadlineMs: 200 }));

    expect(error.code).toBe('unavailable');
    expect(error.message).toBe('No answer within the deadline of the call.');
    expect(leftMs).toBeLessThanOrEqual(200);
  });

  test('say unavailable when the caller cancels', async () => {
    const node = await start('a', { Connect: () => undefined });
    const client = clientOf(node);
    const controller = new AbortController();
    const answer = errorOf(call(client.Connect.bind(client), {}, { signal: controller.signal }));
    controller.abort();
    expect((await answer).code).toBe('unavailable');
  });
});

describe('what every call carries', () => {
  test('is a deadline, also when none was named', async () => {
    let leftMs = Number.POSITIVE_INFINITY;
    const node = await start('a', {
      Connect: unary(async (_request, running) => {
        leftMs = remainingMs(running);
        return {};
      }),
    });

    await askWho(clientOf(node));

    expect(leftMs).toBeGreaterThan(1_000);
    expect(leftMs).toBeLessThanOrEqual(3_000);
  });

  test('is the trace of the caller', async () => {
    let seen: string | undefined;
    const node = await start('a', {
      Connect: unary(async (_request, running) => {
        seen = traceOf(running);
        return {};
      }),
    });
    const client = clientOf(node);
    const trace = newTrace();

    const metadata = new Metadata();
    metadata.set('traceparent', trace);
    await call(client.Connect.bind(client), {}, { metadata });
    expect(seen).toBe(trace);

    await askWho(client);
    expect(seen).toMatch(/^00-[0-9a-f]{32}-[0-9a-f]{16}-01$/);
    expect(seen).not.toBe(trace);
  });

  test('is counted on both sides, by method and code', async () => {
    const metrics = new Metrics({ process: false });
    const node = await start('a', {}, { metrics });
    const client = createClient(SessionService, {
      log: silentLogger(),
      metrics,
      target: `127.0.0.1:${node.server.boundPort}`,
    });
    closers.push(() => client.close());
    await askWho(client);
    await errorOf(call(client.Renew.bind(client), {}));

    const text = await metrics.registry.metrics();

    const method = 'halley.delivery.v1.SessionService/Connect';
    expect(text).toContain(`halley_grpc_server_handled_total{method="${method}",code="OK"} 1`);
    expect(text).toContain(`halley_grpc_client_handled_total{method="${method}",code="OK"} 1`);
    expect(text).toContain(`halley_grpc_client_duration_seconds_count{method="${method}"} 1`);
    expect(text).toContain('SessionService/Renew",code="UNIMPLEMENTED"} 1');
  });
});
