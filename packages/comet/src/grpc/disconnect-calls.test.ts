import { createClient } from '@halley/cluster/grpc/client';
import type { DisconnectSessionRequest__Output } from '@halley/cluster/grpc/gen/halley/delivery/v1/DisconnectSessionRequest';
import type {
  SessionServiceClient,
  SessionServiceHandlers,
} from '@halley/cluster/grpc/gen/halley/delivery/v1/SessionService';
import { unary } from '@halley/cluster/grpc/handler';
import { protos } from '@halley/cluster/grpc/protos';
import { GrpcServer } from '@halley/cluster/grpc/server';
import { HalleyError } from '@halley/protocol/error';
import { silentLogger } from '@halley/service/log';
import { Metrics } from '@halley/service/metrics';
import { afterEach, expect, test } from '@jest/globals';

import { DisconnectCalls } from './disconnect-calls.js';

const common = { log: silentLogger(), metrics: new Metrics({ process: false }) };
const { SessionService } = protos.halley.delivery.v1;
/** The keys of each call. */
let told: string[][];
let client: SessionServiceClient;
let stop: () => Promise<void>;

async function start(handlers: Partial<SessionServiceHandlers>): Promise<DisconnectCalls> {
  told = [];
  const server = new GrpcServer({ host: '127.0.0.1', port: 0, ...common });
  server.addService(SessionService.service, {
    Disconnect: unary<DisconnectSessionRequest__Output, { has: boolean }>(async ({ comet, key }) => {
      told.push([`${comet?.node} ${key}`]);
      return { has: true };
    }),
    ...handlers,
  });
  await server.start();
  const target = `127.0.0.1:${server.boundPort}`;
  client = createClient(SessionService, { ...common, target }) as SessionServiceClient;
  stop = async () => {
    client.close();
    await server.stop(100);
  };
  return new DisconnectCalls(client, () => ({ node: 'c', incarnation: 'i' }));
}
afterEach(() => stop());

const DisconnectMany: SessionServiceHandlers['DisconnectMany'] = unary(async ({ comet, sessions }) => {
  told.push(sessions.map(({ key }) => `${comet?.node} ${key}`));
  if (sessions.some(({ key }) => key === 'bad')) throw new HalleyError('store_unavailable');
  return { has: sessions.map(() => true) };
});
const tell = (calls: DisconnectCalls, ...keys: string[]) =>
  Promise.allSettled(keys.map((key) => calls.disconnect({ mid: 1, key, owner: 'o' })));
const fulfilled = (outcomes: readonly PromiseSettledResult<void>[]) =>
  outcomes.map(({ status }) => status === 'fulfilled');

test('those that leave in one moment are told in one call, one by itself in its own', async () => {
  const calls = await start({ DisconnectMany });
  expect(fulfilled(await tell(calls, 'a', 'b', 'c'))).toEqual([true, true, true]);
  await tell(calls, 'd');
  expect(told).toEqual([['c a', 'c b', 'c c'], ['c d']]);
});

test('while a call is under way the next ones join', async () => {
  let answer: () => void = () => undefined;
  const first = new Promise<void>((resolve) => (answer = resolve));
  const calls = await start({
    DisconnectMany,
    Disconnect: unary(async () => {
      await first;
      return { has: true };
    }),
  });
  const alone = tell(calls, 'a');
  await new Promise(setImmediate);
  const others = [tell(calls, 'b')];
  await new Promise(setImmediate);
  others.push(tell(calls, 'c'));
  await Promise.all(others);
  answer();
  await alone;
  expect(told).toEqual([['c b', 'c c']]);
});

test('a call that fails fails for all of them; by itself one is told whatever becomes of the others', async () => {
  const calls = await start({ DisconnectMany });
  const [failed] = await tell(calls, 'a', 'bad');
  expect(failed).toMatchObject({ status: 'rejected', reason: { code: 'store_unavailable' } });
  await calls.disconnect({ mid: 1, key: 'a', owner: 'o' }, true);
  expect(told.at(-1)).toEqual(['c a']);
});

test('a logic that does not know shared calls is told of each', async () => {
  const calls = await start({});
  expect(fulfilled(await tell(calls, 'a', 'b'))).toEqual([true, true]);
  expect(new Set(told.flat())).toEqual(new Set(['c a', 'c b']));
});
