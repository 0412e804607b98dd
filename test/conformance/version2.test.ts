import { afterAll, beforeAll } from '@jest/globals';

import { startHalley, type StartedHalley } from '../harness/halley-process.js';
import type { Target } from '../harness/target.js';
import { version2Conformance } from './suite/version2/conformance.js';

let started: StartedHalley | undefined;

beforeAll(async () => {
  started = await startHalley(['--push.durableRooms', 'kept://*', '--session.windowEntries', '64']);
}, 60_000);

afterAll(async () => {
  await started?.stop();
}, 20_000);

version2Conformance(
  'version 2 at npm start',
  (): Target => {
    if (!started) throw new Error('the product did not start');
    return started.target;
  },
  { jwtSecret: '', durableType: 'kept' },
);
