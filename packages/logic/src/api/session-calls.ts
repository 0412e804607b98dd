import type { DisconnectRequest__Output } from '@halley/cluster/grpc/gen/halley/push/v1/DisconnectRequest';
import type { UserPresence } from '@halley/cluster/grpc/gen/halley/push/v1/UserPresence';
import type { Routes } from '@halley/store/routes/routes';

import { invalid, type PushLimits, readKeys, readUsers } from '../push/target.js';
import { disconnect, type DisconnectTarget } from '../session/disconnect.js';
import type { Kicker } from '../session/kick.js';

/** Users of one question. */
export const MAX_PRESENCE = 1_000;
/** Characters of the reason of a disconnect. */
export const MAX_REASON_LENGTH = 100;

export interface SessionCallsDeps {
  readonly limits: Pick<PushLimits, 'maxTargets'>;
  readonly routes: Routes;
  readonly kicker: Kicker;
}

/** Who is connected, and closing connections, as it is called over gRPC and HTTP. */
export class SessionCalls {
  constructor(private readonly deps: SessionCallsDeps) {}

  /** The connections of users, one entry for each in their order. Throws `invalid_argument`. */
  async presence(mids: readonly string[]): Promise<UserPresence[]> {
    const users = readUsers(mids, MAX_PRESENCE, 'mids');
    const found = (await this.deps.routes.find({ users: [...new Set(users)] })).users;
    return users.map((mid) => ({
      mid,
      connections: (found.get(mid) ?? []).map(({ key, at, connectedAtMs }) => ({
        key,
        node: at.node,
        connected_at_ms: connectedAtMs,
      })),
    }));
  }

  /** Closes connections and answers how many. Throws `invalid_argument`, or what a comet did not answer. */
  async disconnect(request: DisconnectRequest__Output): Promise<number> {
    return disconnect(readDisconnect(request, this.deps.limits), request.reason, this.deps);
  }
}

function readDisconnect(
  { target, users, keys, reason }: DisconnectRequest__Output,
  { maxTargets }: Pick<PushLimits, 'maxTargets'>,
): DisconnectTarget {
  if (reason.length > MAX_REASON_LENGTH) {
    throw invalid('reason', `${reason.length} characters, more than ${MAX_REASON_LENGTH}`);
  }
  if (target === 'users') {
    return { users: [...new Set(readUsers(users?.mids ?? [], maxTargets, 'users.mids'))] };
  }
  if (target === 'keys') {
    return { keys: [...new Set(readKeys(keys?.keys ?? [], maxTargets, 'keys.keys'))] };
  }
  throw invalid('target', 'exactly one of users and keys is to be set');
}
