import { describe } from '@jest/globals';

import { writeAuth } from '@halley/protocol/client/auth';
import { isFrameV2 } from '@halley/protocol/frame-v2';
import { Operation } from '@halley/protocol/operation';

import type { Target, TargetTraits } from '../../../harness/target.js';
import { Version2Client } from '../../../harness/version2/client.js';
import { Stage } from '../stage.js';
import { askingSuite } from './asking.js';
import { closingSuite } from './closing.js';
import { deliveringSuite } from './delivering.js';
import { durableRoomsSuite } from './durable-rooms.js';
import { ephemeralSuite } from './ephemeral.js';
import { framesSuite } from './frames.js';
import { historySuite } from './history.js';
import { malformedSuite } from './malformed.js';
import { presenceSuite } from './presence.js';
import { readPositionsSuite } from './read-positions.js';
import { roomsSuite } from './rooms.js';
import { sendingSuite } from './sending.js';
import { tokenOf, Version2Stage } from './stage.js';
import { grantsSuite, tokensSuite } from './tokens.js';

/** What any server must do, whatever its tokens are. */
const SUITES = {
  'the frame': framesSuite,
  'asking for it': askingSuite,
  delivering: deliveringSuite,
  rooms: roomsSuite,
  sending: sendingSuite,
  ephemeral: ephemeralSuite,
  history: historySuite,
  'read positions': readPositionsSuite,
  presence: presenceSuite,
  tokens: tokensSuite,
  'operations and closing': closingSuite,
  'malformed input': malformedSuite,
} as const;

/** What a target's traits keep from being tested, a line each, for whoever runs the suite. */
export function version2Omissions({ jwtSecret, durableType }: TargetTraits): string[] {
  const lines: string[] = [];
  if (jwtSecret === '')
    lines.push(
      'grants and expiry of tokens are NOT tested: --jwt-secret of a server with JSON Web Tokens is missing',
    );
  if (durableType === '')
    lines.push(
      'durable rooms are NOT tested: --durable-type, a type of rooms that are durable there, is missing',
    );
  return lines;
}

/**
 * Whether the server answers a wish for version 2 with it. Throws when it lets nobody in: what it speaks is not known then.
 */
export async function speaksVersion2(target: Target, { jwtSecret }: TargetTraits): Promise<boolean> {
  const client = await Version2Client.connect('tcp', target);
  try {
    client.sendGoim(Operation.Auth, writeAuth(tokenOf({}, jwtSecret)), 7);
    const reply = await client.next().catch(() => undefined);
    if (reply?.op === Operation.AuthReply) return isFrameV2(reply);
    throw new Error(`${target.tcp} lets nobody in: does it want a token of --jwt-secret?`);
  } finally {
    client.close();
  }
}

/** What is only seen with JSON Web Tokens. */
const JWT_SUITES = { grants: grantsSuite } as const;

/** What is only seen where rooms of a known type are durable. */
const DURABLE_SUITES = { 'durable rooms': durableRoomsSuite } as const;

/**
 * The suite of version 2 of the client protocol (docs/protocol/ver2.md), against any address, like that of goim's; what a
 * server's traits don't let be seen is not registered. `parts` chooses sections by name; default all.
 */
export function version2Conformance(
  name: string,
  target: () => Target,
  traits: TargetTraits,
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
