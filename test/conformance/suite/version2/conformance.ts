import { describe } from '@jest/globals';

import type { Target } from '../../../harness/target.js';
import { Stage } from '../stage.js';
import { askingSuite } from './asking.js';
import { deliveringSuite } from './delivering.js';
import { durableRoomsSuite } from './durable-rooms.js';
import { ephemeralSuite } from './ephemeral.js';
import { framesSuite } from './frames.js';
import { roomsSuite } from './rooms.js';
import { sendingSuite } from './sending.js';
import { type Traits, Version2Stage } from './stage.js';

/** What any server must do, whatever its tokens are. */
const SUITES = {
  'the frame': framesSuite,
  'asking for it': askingSuite,
  delivering: deliveringSuite,
  rooms: roomsSuite,
  sending: sendingSuite,
  ephemeral: ephemeralSuite,
} as const;

/** What is only seen with JSON Web Tokens. */
const JWT_SUITES = {} as const;

/** What is only seen where rooms of a known type are durable. */
const DURABLE_SUITES = { 'durable rooms': durableRoomsSuite } as const;

/**
 * The suite of version 2 of the client protocol (docs/protocol/ver2.md), against any address, like that of goim's; what a
 * server's traits don't let be seen is not registered. `parts` chooses sections by name; default all.
 */
export function version2Conformance(
  name: string,
  target: () => Target,
  traits: Traits,
  parts: (part: string) => boolean = () => true,
): void {
  const suites: Readonly<Record<string, (stage: Version2Stage) => void>> = {
    ...SUITES,
    ...(traits.jwtSecret === '' ? {} : JWT_SUITES),
    ...(traits.durableType === '' ? {} : DURABLE_SUITES),
  };
  describe(name, () => {
    const stage = new Version2Stage(new Stage(target), traits);
    for (const [part, suite] of Object.entries(suites))
      if (parts(part)) {
        describe(part, () => {
          suite(stage);
        });
      }
  });
}
