import { afterAll, beforeAll } from '@jest/globals';

import { startCluster, type TestCluster } from '../harness/cluster.js';
import { conformance } from './suite/conformance.js';
import { version2Conformance } from './suite/version2/conformance.js';

/** Both versions of the protocol on real services and processes: on pairs, and with a client on one and a pusher on the other. */
let cluster: TestCluster;

beforeAll(async () => {
  cluster = await startCluster({ arguments: { logic: ['--push.durableRooms', 'kept://*'] } });
}, 120_000);

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
