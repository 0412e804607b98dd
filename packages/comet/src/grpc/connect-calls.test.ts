import { createClient } from '@halley/cluster/grpc/client';
import type { ConnectRequest__Output } from '@halley/cluster/grpc/gen/halley/delivery/v1/ConnectRequest';
import type {
  SessionServiceClient,
  SessionServiceHandlers,
} from '@halley/cluster/grpc/gen/halley/delivery/v1/SessionService';
import { serverStream, unary } from '@halley/cluster/grpc/handler';
import { protos } from '@halley/cluster/grpc/protos';
import { GrpcServer } from '@halley/cluster/grpc/server';
import { HalleyError } from '@halley/protocol/error';
import { silentLogger } from '@halley/service/log';
import { Metrics } from '@halley/service/metrics';
import { afterEach, expect, test } from '@jest/globals';

import { ConnectCalls } from './connect-calls.js';

const common = { log: silentLogger(), metrics: new Metrics({ process: false }) };
const { SessionService } = protos.halley.delivery.v1;
/** What logic was asked for: the tokens of each call. */
let asked: string[][];
let client: SessionServiceClient;
let stop: () => Promise<void>;

async function start(handlers: Partial<SessionServiceHandlers>): Promise<ConnectCalls> {
  asked = [];
  const server = new GrpcServer({ host: '127.0.0.1', port: 0, ...common });
  server.addService(SessionService.service, {
    Connect: unary(async ({ token }) => {
      asked.push([token.toString()]);
      return { key: token.toString() };
    }),
    ...handlers,
  });
  await server.start();
  client = createClient(SessionService, {
    ...common,
    target: `127.0.0.1:${server.boundPort}`,
  }) as SessionServiceClient;
  stop = async () => {
    client.close();
    await server.stop(100);
  };
  return new ConnectCalls(client);
}
afterEach(() => stop());

const tokensOf = (connects: ConnectRequest__Output[]): string[] =>
  connects.map(({ token }) => token.toString());
const keyOf = async (calls: ConnectCalls, token: string, deadlineMs?: number): Promise<string> =>
  (await calls.connect({ token: Buffer.from(token) }, deadlineMs)).key;

/** Answers each token with itself; `bad` with an error. */
const ConnectMany = serverStream<{ connects: ConnectRequest__Output[] }, object>(
  async ({ connects }, call) => {
    const tokens = tokensOf(connects);
    asked.push(tokens);
    const outcomes = tokens.map((token, index) =>
      token === 'bad'
        ? { index, error: { code: 'overloaded', message: 'later', retry_after_ms: 70 } }
        : { index, connected: { key: token } },
    );
    for (const outcome of outcomes.reverse()) call.write({ outcomes: [outcome] });
  },
) as SessionServiceHandlers['ConnectMany'];

test('what is asked for in one turn shares a call, and each has its own outcome', async () => {
  const calls = await start({ ConnectMany });
  const outcomes = await Promise.allSettled(['a', 'bad', 'c'].map((token) => keyOf(calls, token)));
  expect(asked).toEqual([['a', 'bad', 'c']]);
  expect(outcomes).toEqual([
    { status: 'fulfilled', value: 'a' },
    { status: 'rejected', reason: expect.objectContaining({ code: 'overloaded', retryAfterMs: 70 }) },
    { status: 'fulfilled', value: 'c' },
  ]);
});

test('one alone is asked for alone, and those that come during its call go together', async () => {
  const calls = await start({ ConnectMany });
  const first = keyOf(calls, 'a');
  await new Promise(setImmediate);
  const rest = ['b', 'c'].map((token) => keyOf(calls, token));
  expect(await Promise.all([first, ...rest])).toEqual(['a', 'b', 'c']);
  expect(asked).toEqual([['a'], ['b', 'c']]);
});

test('those of one call have one deadline, and a call has at most 64', async () => {
  const calls = await start({ ConnectMany });
  const soon = ['a', 'b'].map((token) => keyOf(calls, token, 5_000));
  const later = Array.from({ length: 66 }, (_, index) => keyOf(calls, `${index}`, 6_000));
  await Promise.all([...soon, ...later]);
  expect(asked.map(({ length }) => length).sort((a, b) => a - b)).toEqual([2, 2, 64]);
});

test('a logic that does not know the call is asked for each', async () => {
  const calls = await start({});
  expect(await Promise.all(['a', 'b'].map((token) => keyOf(calls, token)))).toEqual(['a', 'b']);
  expect(asked.flat().sort()).toEqual(['a', 'b']);
});

test('what has no outcome when the call ends has failed with it; what has one has it', async () => {
  const calls = await start({
    ConnectMany: serverStream(async ({ connects }, call) => {
      call.write({ outcomes: [{ index: 1, connected: { key: tokensOf(connects)[1] ?? '' } }] });
      throw new HalleyError('store_unavailable');
    }),
  });
  const outcomes = await Promise.allSettled(['a', 'b', 'c'].map((token) => keyOf(calls, token)));
  expect(outcomes.map(({ status }) => status)).toEqual(['rejected', 'fulfilled', 'rejected']);
  expect(outcomes[0]).toMatchObject({ reason: { code: 'store_unavailable' } });
});

test('a call that ends well without an outcome was not answered', async () => {
  const calls = await start({ ConnectMany: serverStream(async () => undefined) });
  const outcomes = await Promise.allSettled(['a', 'b'].map((token) => keyOf(calls, token)));
  for (const outcome of outcomes) expect(outcome).toMatchObject({ reason: { code: 'unavailable' } });
});

test('what waits when the client is closed fails', async () => {
  const calls = await start({ ConnectMany });
  const waiting = ['a', 'b'].map((token) => keyOf(calls, token));
  client.close();
  for (const outcome of await Promise.allSettled(waiting)) expect(outcome.status).toBe('rejected');
});
