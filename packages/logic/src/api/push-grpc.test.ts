import { Metadata, status, type ServiceError } from '@grpc/grpc-js';
import { call } from '@halley/cluster/grpc/client';
import type { PushRequest } from '@halley/cluster/grpc/gen/halley/push/v1/PushRequest';
import type { PushStreamReply__Output } from '@halley/cluster/grpc/gen/halley/push/v1/PushStreamReply';
import { HalleyError } from '@halley/protocol/error';
import { systemClock } from '@halley/service/clock';
import { afterEach, beforeEach, describe, expect, test } from '@jest/globals';

import { FakeBus } from '../testing/fake-bus.js';
import { type LogicFixture, startLogic } from '../testing/logic-fixture.js';

const comet = { node: 'comet-1', incarnation: 'i1' };
const toUser = (mid: string, fields: PushRequest = {}): PushRequest => ({
  target: { users: { mids: [mid] } },
  operation: 1000,
  body: Buffer.from('hello'),
  ...fields,
});
const until = async (condition: () => boolean) => {
  for (let turn = 0; turn < 400 && !condition(); turn += 1)
    await new Promise((resolve) => setTimeout(resolve, 5));
  expect(condition()).toBe(true);
};

let bus: FakeBus;
let logic: LogicFixture;
const start = async (...flags: string[]) => {
  logic = await startLogic(bus, flags);
  return logic;
};
beforeEach(() => {
  bus = new FakeBus();
});
afterEach(() => logic.stop());

describe('PushService', () => {
  const push = (request: PushRequest, deadlineMs?: number) =>
    call(logic.push.Push.bind(logic.push), request, deadlineMs === undefined ? {} : { deadlineMs });
  /** The error as another gRPC client sees it. */
  const failure = (request: PushRequest) =>
    new Promise<ServiceError>((resolve, reject) => {
      logic.push.Push(request, (error) => (error ? resolve(error) : reject(new Error('no error'))));
    });

  test('Push answers the id, given or fresh', async () => {
    await start();
    expect(await push(toUser('1', { id: 'mine' }))).toMatchObject({ id: 'mine' });
    expect((await push(toUser('1'))).id).toHaveLength(36);
    expect(bus.pushes()[0]).toMatchObject({
      id: 'mine',
      users: ['1'],
      traceparent: expect.stringMatching(/^00-/),
    });
  });

  test('an error tells the field, the code, the outcome and when to repeat', async () => {
    await start('--push.maxInFlight', '1');
    const invalid = await failure(toUser('0'));
    expect(invalid.code).toBe(status.INVALID_ARGUMENT);
    expect(invalid.details).toContain('target.users.mids[0]');
    expect(invalid.metadata.get('halley-code')).toEqual(['invalid_argument']);
    expect(invalid.metadata.get('halley-outcome')).toEqual(['refused']);

    bus.answer = () => new HalleyError('bus_unknown');
    const unknown = await failure(toUser('1'));
    expect([unknown.code, unknown.metadata.get('halley-outcome')]).toEqual([status.UNAVAILABLE, ['unknown']]);

    bus.answer = undefined;
    const held = push(toUser('1'));
    await until(() => bus.calls.length === 2);
    const overloaded = await failure(toUser('1'));
    expect(overloaded.code).toBe(status.RESOURCE_EXHAUSTED);
    expect(Number(overloaded.metadata.get('retry-after-ms')[0])).toBeGreaterThan(0);
    bus.calls.at(-1)?.resolve();
    await held;
  });

  test("the caller's deadline goes with the push", async () => {
    await start();
    await push(toUser('1'), 5_000);
    const left = (bus.calls[0]?.options?.deadlineMs ?? 0) - systemClock.monotonicMs();
    expect(left).toBeGreaterThan(3_000);
    expect(left).toBeLessThanOrEqual(5_000);
  });

  test('pipelined pushes of one client keep their order, also behind a slow look-up', async () => {
    await start();
    const owners = logic.routes.owners.bind(logic.routes);
    logic.routes.owners = async (keys) => {
      await new Promise((resolve) => setTimeout(resolve, 30));
      return owners(keys);
    };
    const ids = Array.from({ length: 50 }, (_, index) => String(index));
    await Promise.all(
      ids.map((id, index) =>
        push(index === 3 ? toUser('1', { id, target: { keys: { keys: ['k'] } } }) : toUser('1', { id })),
      ),
    );
    expect(bus.pushes().map(({ id }) => id)).toEqual(ids);
  });

  test('PushBatch answers each push on its own, in order', async () => {
    await start();
    const requests = [toUser('1', { id: 'a' }), toUser('0', { id: 'b' }), toUser('2', { id: 'c' })];
    const { results } = await call(logic.push.PushBatch.bind(logic.push), { requests });
    expect(results).toMatchObject([
      { id: 'a', outcome: 'OUTCOME_OK', code: '' },
      {
        id: 'b',
        outcome: 'OUTCOME_REFUSED',
        code: 'invalid_argument',
        message: expect.stringContaining('requests[1].target.users.mids[0]'),
      },
      { id: 'c', outcome: 'OUTCOME_OK' },
    ]);
    const batch = (count: number) =>
      call(logic.push.PushBatch.bind(logic.push), {
        requests: Array.from({ length: count }, () => toUser('1')),
      });
    expect((await batch(1_024)).results).toHaveLength(1_024);
    await expect(batch(1_025)).rejects.toMatchObject({
      code: 'invalid_argument',
      message: expect.stringContaining('requests: 1025'),
    });
    await expect(batch(0)).rejects.toMatchObject({ code: 'invalid_argument' });
  });

  test('PushStream answers in order, keeps the order, and names what is wrong', async () => {
    await start();
    const stream = logic.push.PushStream();
    const replies: PushStreamReply__Output[] = [];
    stream.on('data', (reply: PushStreamReply__Output) => replies.push(reply));
    const ended = new Promise<void>((resolve, reject) => stream.on('end', resolve).on('error', reject));
    for (let seq = 0; seq < 300; seq += 1) {
      stream.write({ seq, push: seq === 7 ? toUser('0', { id: '7' }) : toUser('1', { id: String(seq) }) });
    }
    stream.write({ seq: 300 });
    stream.end();
    await ended;
    expect(replies.map(({ seq }) => seq)).toEqual(Array.from({ length: 301 }, (_, seq) => String(seq)));
    expect(replies[7]?.result).toMatchObject({
      id: '7',
      outcome: 'OUTCOME_REFUSED',
      message: expect.stringContaining('push.target.users.mids[0]'),
    });
    expect(replies[300]?.result).toMatchObject({
      outcome: 'OUTCOME_REFUSED',
      message: expect.stringContaining('push: is missing'),
    });
    expect(bus.pushes().map(({ id }) => id)).toEqual(
      replies
        .slice(0, 300)
        .map(({ result }) => result?.id)
        .filter((id) => id !== '7'),
    );
  });

  test('PushStream is not read beyond its window', async () => {
    await start('--push.streamWindow', '4');
    bus.answer = undefined;
    const stream = logic.push.PushStream();
    const replies: string[] = [];
    stream.on('data', ({ seq }: PushStreamReply__Output) => replies.push(seq));
    stream.on('error', () => undefined);
    for (let seq = 0; seq < 50; seq += 1) stream.write({ seq, push: toUser('1') });
    await until(() => bus.calls.length === 4);
    await new Promise((resolve) => setTimeout(resolve, 50));
    expect(bus.calls).toHaveLength(4);
    // The second is answered only after the first.
    bus.calls[1]?.resolve();
    await new Promise((resolve) => setTimeout(resolve, 20));
    expect(replies).toEqual([]);
    bus.calls[0]?.resolve();
    await until(() => replies.length === 2 && bus.calls.length === 6);
    for (const produced of bus.calls) produced.resolve();
    stream.cancel();
  });

  test('a caller that goes away in the middle disturbs nobody', async () => {
    await start();
    bus.answer = undefined;
    const stream = logic.push.PushStream();
    stream.on('error', () => undefined);
    stream.write({ seq: 1, push: toUser('1') });
    await until(() => bus.calls.length === 1);
    stream.cancel();
    await new Promise((resolve) => setTimeout(resolve, 20));
    bus.calls[0]?.resolve();
    bus.answer = () => 'ok';
    expect((await push(toUser('2', { id: 'x' }))).id).toBe('x');
  });

  test('GetPresence answers for each user, in order', async () => {
    await start();
    for (const key of ['a', 'b']) {
      await call(logic.sessions.Connect.bind(logic.sessions), {
        comet,
        counter: 1,
        token: Buffer.from(`{"mid":7,"key":"${key}"}`),
      });
    }
    const { users } = await call(logic.push.GetPresence.bind(logic.push), { mids: ['404', '7', '404'] });
    expect(users.map(({ mid, connections }) => [mid, connections.map(({ key }) => key).toSorted()])).toEqual([
      ['404', []],
      ['7', ['a', 'b']],
      ['404', []],
    ]);
    expect(users[1]?.connections[0]).toMatchObject({
      node: 'comet-1',
      connected_at_ms: expect.stringMatching(/^\d{13}$/),
    });
    await expect(call(logic.push.GetPresence.bind(logic.push), { mids: [] })).rejects.toMatchObject({
      message: 'mids: is empty',
    });
  });

  test('ListNodes lists a tier or all', async () => {
    await start();
    const list = (tier: string) => call(logic.push.ListNodes.bind(logic.push), { tier });
    expect((await list('')).nodes.map(({ tier }) => tier)).toEqual(['comet', 'logic']);
    expect((await list('comet')).nodes).toEqual([
      expect.objectContaining({
        id: 'comet-1',
        incarnation: 'i1',
        state: 'serving',
        connections: '2',
        region: 'sh',
      }),
    ]);
    await expect(list('x')).rejects.toMatchObject({ message: expect.stringMatching(/^tier: /) });
  });

  test('Disconnect closes connections where they are', async () => {
    await start();
    for (const key of ['a', 'b']) {
      await call(logic.sessions.Connect.bind(logic.sessions), {
        comet,
        counter: 1,
        token: Buffer.from(`{"mid":7,"key":"${key}"}`),
      });
    }
    const disconnect = (request: object) => call(logic.push.Disconnect.bind(logic.push), request);
    expect(await disconnect({ users: { mids: ['7', '404'] }, reason: 'bye' })).toEqual({ closed: 2 });
    expect(logic.kicks[0]).toMatchObject({
      code: 3007,
      reason: 'bye',
      targets: [{ mid: '7' }, { mid: '7' }],
    });
    expect(await disconnect({ keys: { keys: ['nobody'] } })).toEqual({ closed: 0 });
    await expect(disconnect({})).rejects.toMatchObject({ message: expect.stringMatching(/^target: /) });
    await expect(disconnect({ keys: { keys: [''] } })).rejects.toMatchObject({
      message: 'keys.keys[0]: is empty',
    });
    await expect(disconnect({ users: { mids: ['1'] }, reason: 'x'.repeat(101) })).rejects.toMatchObject({
      message: expect.stringMatching(/^reason: /),
    });
  });

  test('asks for an API key with the scope where keys are set', async () => {
    await start('--api.keys', '[{ name: shop, key: k, scopes: [push] }]');
    await expect(push(toUser('1'))).rejects.toMatchObject({ code: 'unauthenticated' });
    const metadata = new Metadata();
    metadata.set('x-api-key', 'k');
    await call(logic.push.Push.bind(logic.push), toUser('1'), { metadata });
    expect(bus.pushes()[0]?.caller).toBe('shop');
    await expect(call(logic.push.ListNodes.bind(logic.push), {}, { metadata })).rejects.toMatchObject({
      code: 'permission_denied',
    });
    expect(await logic.metrics.registry.metrics()).toMatch(
      /halley_logic_api_refusals_total\{reason="permission_denied"\} 1/,
    );
  });
});
