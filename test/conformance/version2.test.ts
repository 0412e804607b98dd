import { afterAll, beforeAll } from '@jest/globals';

import { startHalley, type StartedHalley } from '../harness/halley-process.js';
import { version2Conformance } from './suite/version2/conformance.js';

const SECRET = 'a secret of the tests, 32 bytes or more';

/** Rooms that are kept, and a window that is soon full. */
const COMMON = ['--push.durableRooms', 'kept://*', '--session.windowEntries', '64'];
/** Starts of the product, by their tokens. */
const STARTS = {
  plain: [],
  jwt: ['--auth.mode', 'jwt', '--auth.jwt.secret', SECRET, '--auth.jwt.leewayMs', '0'],
} as const;
const started: Partial<Record<keyof typeof STARTS, StartedHalley>> = {};

beforeAll(async () => {
  for (const [name, args] of Object.entries(STARTS))
    started[name as keyof typeof STARTS] = await startHalley([...COMMON, ...args]);
}, 120_000);

afterAll(async () => {
  await Promise.all(Object.values(started).map((halley) => halley.stop()));
}, 20_000);

function at(name: keyof typeof STARTS) {
  const halley = started[name];
  if (!halley) throw new Error('the product did not start');
  return halley.target;
}

const traits = { jwtSecret: '', durableType: 'kept' };
version2Conformance('version 2 at npm start', () => at('plain'), traits);
version2Conformance(
  'version 2 at npm start, with JSON Web Tokens',
  () => at('jwt'),
  { ...traits, jwtSecret: SECRET },
  (part) => part === 'grants' || part === 'tokens',
);
