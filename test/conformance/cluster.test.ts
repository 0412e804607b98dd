import { readFile } from 'node:fs/promises';
import path from 'node:path';

import { afterAll, beforeAll, expect, test } from '@jest/globals';

import { startCluster, type TestCluster } from '../harness/cluster.js';
import { conformance } from './suite/conformance.js';
import { version2Conformance } from './suite/version2/conformance.js';

/**
 * Both versions of the protocol on real services and processes: on pairs, and with a client on one and a pusher on the other.
 * The second comet sends without the native loop.
 */
let cluster: TestCluster;

beforeAll(async () => {
  cluster = await startCluster({ comets: 1, arguments: { logic: ['--push.durableRooms', 'kept://*'] } });
  process.env['HALLEY_NATIVE'] = 'off';
  try {
    await cluster.add('comet');
  } finally {
    delete process.env['HALLEY_NATIVE'];
  }
}, 120_000);

test.each([
  ['comet-1', 'native'],
  ['comet-2', "by Node's sockets (HALLEY_NATIVE=off)"],
])('%s sends %s', async (name, sending) => {
  const log = await readFile(path.join(cluster.cluster.logs, `${name}.log`), 'utf8');
  expect(log).toContain(JSON.stringify(sending));
});

afterAll(() => cluster?.stop(), 20_000);

conformance('goim at comet 1 and logic 1 of a cluster', () => cluster.target('comet-1', 'logic-1'));
conformance('goim at comet 2 and logic 2 of a cluster', () => cluster.target('comet-2', 'logic-2'));
conformance('goim at comet 2 and logic 1 of a cluster', () => cluster.target('comet-2', 'logic-1'));

const traits = { jwtSecret: '', durableType: 'kept' };
version2Conformance(
  'version 2 at comet 2 and logic 1 of a cluster',
  () => cluster.target('comet-2', 'logic-1'),
  traits,
);
