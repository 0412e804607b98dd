import { afterAll, beforeAll } from '@jest/globals';

import { startHalley, type StartedHalley } from '../harness/halley-process.js';
import type { Target } from '../harness/target.js';
import { TRANSPORTS_VARIABLE } from '../harness/transports.js';

/** The suites over SSE and POST, and over long poll and POST: what of them is about connections, not about HTTP or gRPC. */
process.env[TRANSPORTS_VARIABLE] ??= 'sse,poll';
const { conformance } = await import('./suite/conformance.js');
const { version2Conformance } = await import('./suite/version2/conformance.js');

const PARTS = new Set(['frames', 'auth', 'requests', 'pushes', 'last words', 'takeover']);

let started: StartedHalley | undefined;

beforeAll(async () => {
  started = await startHalley(['--push.durableRooms', 'kept://*', '--session.windowEntries', '64']);
}, 60_000);

afterAll(async () => {
  await started?.stop();
}, 20_000);

function target(): Target {
  if (!started) throw new Error('the product did not start');
  return started.target;
}

conformance('goim over HTTP', target, (part) => PARTS.has(part));
version2Conformance(
  'version 2 over HTTP',
  target,
  { jwtSecret: '', durableType: 'kept' },
  (part) => part !== 'presence',
);
