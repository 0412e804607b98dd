import { cometConfig } from '@halley/comet/config';
import { loadConfig } from '@halley/service/config';
import { expect, test } from '@jest/globals';

import { planInstances } from './plan.js';
import { readyLine } from './run.js';

function plan(count: number, flags: string[] = []) {
  return planInstances('comet', loadConfig(cometConfig, { flags }), ['--config', 'comet.yaml'], count);
}

test('the first is on the ports of the configuration, each further one 100 above', () => {
  const plans = plan(3, ['--port-offset', '1000']);
  expect(plans.map(({ name }) => name)).toEqual(['comet-1', 'comet-2', 'comet-3']);
  expect(plans.map(({ ports }) => ports)).toEqual([
    { tcp: 4101, ws: 4102, grpc: 4109, ops: 4104 },
    { tcp: 4201, ws: 4202, grpc: 4209, ops: 4204 },
    { tcp: 4301, ws: 4302, grpc: 4309, ops: 4304 },
  ]);
  // Who starts beside them is told where there is room.
  expect(plans[0]?.claims[0]).toEqual({ host: '127.0.0.1', port: 4101, use: 'comet tcp', offset: 1_200 });
  expect(plans[2]?.arguments.join(' ')).toBe(
    '--config comet.yaml --is-instance --port-offset 1200 --log.instance comet-3',
  );
});

test('a node id gets a number, so that two nodes never have one', () => {
  const ids = plan(2, ['--node-id', 'eu-7']).map((one) => one.arguments.slice(-2));
  expect(ids).toEqual([
    ['--node-id', 'eu-7-1'],
    ['--node-id', 'eu-7-2'],
  ]);
});

test.each([
  [['--ops.port', '0'], 'ops.port is 0, any free one: with --instances every port is to be known'],
  [['--tcp.port', '65500'], 'comet-2 tcp would have port 65600'],
  [['--ws.port', '3201'], 'comet-2 tcp and comet-1 ws would both have port 3201'],
])('ports that cannot work are refused: %j', (flags, message) => {
  expect(() => plan(2, flags)).toThrow(message);
});

test('one readable line says where each is', () => {
  expect(readyLine(plan(2)[1]!, '0.0.0.0', 4711)).toBe(
    'comet-2 is ready: TCP 0.0.0.0:3201, WebSocket 0.0.0.0:3202, gRPC 0.0.0.0:3209, ops 0.0.0.0:3204 (pid 4711)',
  );
});
