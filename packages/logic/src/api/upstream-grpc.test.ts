import { mkdtempSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

import { status, type ServiceError } from '@grpc/grpc-js';
import { call } from '@halley/cluster/grpc/client';
import type { Upstream__Output } from '@halley/cluster/grpc/gen/halley/push/v1/Upstream';
import { systemClock } from '@halley/service/clock';
import { silentLogger } from '@halley/service/log';
import { EmbeddedBus } from '@halley/store/bus/embedded';
import { afterEach, beforeEach, describe, expect, test } from '@jest/globals';

import { FakeBus } from '../testing/fake-bus.js';
import { type LogicFixture, startLogic } from '../testing/logic-fixture.js';

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

describe('UpstreamService', () => {
  const receive = (group: string, window = 0) => {
    const stream = logic.upstream.Receive();
    const messages: Upstream__Output[] = [];
    const ended = new Promise<ServiceError | undefined>((resolve) => {
      stream.on('error', (error) => resolve(error as ServiceError)).on('end', () => resolve(undefined));
    });
    stream.on('data', (message: Upstream__Output) => messages.push(message));
    stream.write({ group, window });
    const bodies = () => messages.map(({ proto }) => proto?.body.toString());
    return { stream, messages, bodies, ended };
  };
  const send = (mid: string, body: string) =>
    call(logic.goim.Receive.bind(logic.goim), {
      mid,
      proto: { ver: 1, op: 4, seq: 1, body: Buffer.from(body) },
    });

  test('hands over what clients send, in order, and again what was not acknowledged', async () => {
    const dataDir = mkdtempSync(join(tmpdir(), 'halley-logic-'));
    const embedded = new EmbeddedBus({ dataDir, partitions: 4, log: silentLogger(), clock: systemClock });
    await embedded.start();
    logic = await startLogic(embedded);
    for (const body of ['1', '2', '3']) await send('5', body);
    const first = receive('shop');
    await until(() => first.messages.length === 3);
    expect(first.bodies()).toEqual(['1', '2', '3']);
    first.stream.write({ ack_ids: [first.messages[0]?.id ?? ''] });
    await new Promise((resolve) => setTimeout(resolve, 100));
    first.stream.end();
    expect(await first.ended).toBeUndefined();

    const second = receive('shop');
    const other = receive('audit');
    await until(() => second.messages.length === 2 && other.messages.length === 3);
    expect(second.bodies()).toEqual(['2', '3']);
    await send('5', '4');
    await until(() => second.messages.length === 3 && other.messages.length === 4);
    second.stream.cancel();
    other.stream.cancel();
    await logic.stop();
    await embedded.stop(1_000);
  });

  test.each(['', 'a b', 'x'.repeat(65)])('group %j is refused', async (group) => {
    await start();
    const { ended } = receive(group);
    expect(await ended).toMatchObject({
      code: status.INVALID_ARGUMENT,
      details: expect.stringMatching(/^group: /),
    });
  });

  test('a window out of range is refused', async () => {
    await start();
    expect((await receive('g', -1).ended)?.details).toMatch(/^window: /);
    expect((await receive('g', 10_001).ended)?.details).toMatch(/^window: /);
  });

  test('ends with the node', async () => {
    await start();
    const { ended } = receive('g');
    await until(() => bus.consumers.length === 1);
    await logic.app.stop(2_000);
    expect((await ended)?.code).toBe(status.UNAVAILABLE);
    expect(bus.consumers[0]?.stopped).toBe(true);
  });
});
