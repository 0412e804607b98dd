import { describe } from '@jest/globals';

import type { Target } from '../../harness/target.js';
import { authSuite } from './auth.js';
import { cometGrpcSuite } from './comet-grpc.js';
import { deadlinesSuite } from './deadlines.js';
import { framesSuite } from './frames.js';
import { httpPushSuite } from './http-push.js';
import { httpQuerySuite } from './http-query.js';
import { lastWordsSuite } from './last-words.js';
import { logicGrpcSuite } from './logic-grpc.js';
import { pushesSuite } from './pushes.js';
import { requestsSuite } from './requests.js';
import { Stage } from './stage.js';
import { takeoverSuite } from './takeover.js';
import { websocketSuite } from './websocket.js';

/** In this order: the last one judges connections that were opened before the first. */
const SUITES = {
  frames: framesSuite,
  websocket: websocketSuite,
  auth: authSuite,
  requests: requestsSuite,
  pushes: pushesSuite,
  'last words': lastWordsSuite,
  takeover: takeoverSuite,
  'goim.comet.Comet': cometGrpcSuite,
  'goim.logic.Logic': logicGrpcSuite,
  'HTTP pushes': httpPushSuite,
  'HTTP queries': httpQuerySuite,
} as const;

/**
 * The suite of the goim protocol, against any address: registers its tests in a `describe` of that name. The target is asked
 * for once the tests run, so a `beforeAll` ahead of it may start what it names. Tests use users, rooms and operations of their
 * own and run on a cluster that others use. `parts` chooses sections by name; default all.
 */
export function conformance(
  name: string,
  target: () => Target,
  parts: (part: string) => boolean = () => true,
): void {
  describe(name, () => {
    const stage = new Stage(target);
    for (const [part, suite] of Object.entries(SUITES))
      if (parts(part)) {
        describe(part, () => {
          suite(stage);
        });
      }
    if (parts('deadlines')) deadlinesSuite(stage);
  });
}
