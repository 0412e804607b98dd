import { afterAll, beforeAll } from '@jest/globals';

import { startHalley, type StartedHalley } from '../harness/halley-process.js';
import { targetFromEnv, type Target, traitsFromEnv } from '../harness/target.js';
import { conformance } from './suite/conformance.js';
import { speaksVersion2, version2Conformance, version2Omissions } from './suite/version2/conformance.js';

/** The address that HALLEY_CONFORMANCE_… names; without it, a start of the product with everything embedded. */
const given = targetFromEnv(process.env);
const traits = traitsFromEnv(process.env);
let started: StartedHalley | undefined;

beforeAll(async () => {
  if (!given) started = await startHalley();
}, 60_000);

afterAll(async () => {
  await started?.stop();
}, 20_000);

function target(): Target {
  const it = given ?? started?.target;
  if (!it) throw new Error('the product did not start');
  return it;
}

const name = given ? `at ${given.tcp}` : 'at npm start';
// goim's tokens are plain.
if (traits.jwtSecret === '') conformance(`goim ${name}`, target);
else say("goim's protocol is NOT tested: its suite needs a server that believes plain tokens");

// version2.test.ts has it on starts of the product, with all that can be tested; another server is asked whether it speaks it.
if (given && (await speaksVersion2(given, traits))) {
  version2Conformance(`version 2 ${name}`, target, traits);
  for (const line of version2Omissions(traits)) say(line);
} else if (given) {
  say(`version 2 is NOT tested: ${given.tcp} answers a wish for it with version 1`);
}

function say(line: string): void {
  process.stderr.write(`conformance: ${line}\n`);
}
