import type { KickRequest__Output } from '@halley/cluster/grpc/gen/halley/delivery/v1/KickRequest';
import { unary } from '@halley/cluster/grpc/handler';
import { protos } from '@halley/cluster/grpc/protos';
import { GrpcServer } from '@halley/cluster/grpc/server';
import { LiveView } from '@halley/cluster/registry/live-view';
import type { NodeRecord } from '@halley/cluster/registry/registry';
import { HalleyError } from '@halley/protocol/error';
import type { NodeId } from '@halley/protocol/ids';
import { silentLogger } from '@halley/service/log';
import { Metrics } from '@halley/service/metrics';
import { afterEach, beforeEach, expect, test } from '@jest/globals';

import { cometRecord } from '../testing/logic-fixture.js';
import { CometClients } from './comet-clients.js';

const log = silentLogger();
const metrics = new Metrics({ process: false });
const [node, request] = ['comet-1' as NodeId, { targets: [{ mid: '1', key: 'k', owner: 'o' }] }];
let server: GrpcServer;
let record: NodeRecord;
let view: LiveView;
let clients: CometClients;
let answer: (request: KickRequest__Output) => { closed: number };

beforeEach(async () => {
  answer = ({ targets }) => ({ closed: targets.length });
  server = new GrpcServer({ host: '127.0.0.1', port: 0, log, metrics });
  server.addService(protos.halley.delivery.v1.DeliveryService.service, {
    Kick: unary(async (asked: KickRequest__Output) => answer(asked)),
  });
  await server.start();
  record = { ...cometRecord('comet-1'), addresses: { grpc: `127.0.0.1:${server.boundPort}` } };
  view = new LiveView(log);
  view.replace([record]);
  clients = new CometClients({ view, sessionTimeoutMs: 50, client: { log, metrics, deadlineMs: 500 } });
});
afterEach(async () => {
  clients.close();
  await server.stop(0);
});

test('calls the comet of the registry', async () => {
  expect(await clients.kick({ node, incarnation: 'i1' }, request)).toBe(1);
});

test('another start of the comet, or an unknown one, has nothing to close', async () => {
  expect(await clients.kick({ node, incarnation: 'i2' }, request)).toBe(0);
  expect(await clients.kick({ node: 'x' as NodeId, incarnation: 'i1' }, request)).toBe(0);
  answer = () => {
    throw new HalleyError('wrong_incarnation');
  };
  expect(await clients.kick({ node, incarnation: 'i1' }, request)).toBe(0);
});

test('a comet that joins later is called at once', async () => {
  view.replace([record, { ...record, id: 'comet-2' as NodeId }]);
  expect(await clients.kick({ node: 'comet-2' as NodeId, incarnation: 'i1' }, request)).toBe(1);
});

test('one that left the registry is still called for two session timeouts', async () => {
  view.replace([]);
  expect(await clients.kick({ node, incarnation: 'i1' }, request)).toBe(1);
  await new Promise((resolve) => setTimeout(resolve, 150));
  expect(await clients.kick({ node, incarnation: 'i1' }, request)).toBe(0);
});

test('one that comes back within them stays', async () => {
  view.replace([]);
  view.replace([record]);
  await new Promise((resolve) => setTimeout(resolve, 150));
  expect(await clients.kick({ node, incarnation: 'i1' }, request)).toBe(1);
});

test('a registered comet that does not answer is an error; one that has left is gone', async () => {
  await server.stop(0);
  await expect(clients.kick({ node, incarnation: 'i1' }, request)).rejects.toMatchObject({
    code: 'unavailable',
  });
  view.replace([]);
  expect(await clients.kick({ node, incarnation: 'i1' }, request)).toBe(0);
});
