import type { KickReply } from '@halley/cluster/grpc/gen/halley/delivery/v1/KickReply';
import type { KickRequest__Output } from '@halley/cluster/grpc/gen/halley/delivery/v1/KickRequest';
import { CloseCode } from '@halley/protocol/close-code';
import { HalleyError } from '@halley/protocol/error';
import type { ConnectionKey } from '@halley/protocol/ids';

import type { EarlyKicks } from '../session/early-kicks.js';
import { type SessionTable, TAKEN_OVER_REASON } from '../session/session-table.js';

const CODES: ReadonlySet<number> = new Set(Object.values(CloseCode));

export interface KickDeps {
  readonly table: SessionTable;
  readonly earlyKicks: EarlyKicks;
  /** This start of the comet. */
  readonly incarnation: string;
}

/**
 * Closes connections, where they still belong to the owner named; one that is still authenticating is closed at the end
 * of its handshake, and not counted. Throws `wrong_incarnation`.
 */
export function kick(request: KickRequest__Output, { table, earlyKicks, incarnation }: KickDeps): KickReply {
  if (request.comet_incarnation !== incarnation) throw new HalleyError('wrong_incarnation');
  const code = CODES.has(request.code) ? (request.code as CloseCode) : CloseCode.Kicked;
  const reason = code === CloseCode.TakenOver ? TAKEN_OVER_REASON : request.reason;
  let closed = 0;
  for (const { mid, key, owner } of request.targets) {
    const session = table.get(key as ConnectionKey);
    const identity = session?.state.name === 'online' ? session.state.identity : undefined;
    if (!session || identity?.mid !== mid || (owner !== '' && identity.owner !== owner)) {
      if (owner !== '') earlyKicks.add(owner, { code, reason });
      continue;
    }
    // The route of a connection that was taken over is the new owner's.
    session.close(code, reason, code !== CloseCode.TakenOver);
    closed += 1;
  }
  return { closed };
}
