import { afterAll, beforeAll } from '@jest/globals';

import { startHalley, type StartedHalley } from '../harness/halley-process.js';
import { targetFromEnv, type Target } from '../harness/target.js';
import { conformance } from './suite/conformance.js';

/** The address that HALLEY_CONFORMANCE_… names; without it, a start of the product with everything embedded. */
const given = targetFromEnv(process.env);
let started: StartedHalley | undefined;

beforeAll(async () => {
  if (!given) started = await startHalley();
}, 60_000);

afterAll(async () => {
  await started?.stop();
}, 20_000);

conformance(given ? `goim at ${given.tcp}` : 'goim at npm start', (): Target => {
  const target = given ?? started?.target;
  if (!target) throw new Error('the product did not start');
  return target;
});
