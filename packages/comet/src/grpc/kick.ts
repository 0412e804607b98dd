import type { KickReply } from '@halley/cluster/grpc/gen/halley/delivery/v1/KickReply';
import type { KickRequest__Output } from '@halley/cluster/grpc/gen/halley/delivery/v1/KickRequest';
import { CloseCode } from '@halley/protocol/close-code';
import { HalleyError } from '@halley/protocol/error';
import type { ConnectionKey } from '@halley/protocol/ids';

import type { SessionTable } from '../session/session-table.js';

const CODES: ReadonlySet<number> = new Set(Object.values(CloseCode));

/** Closes connections, where they still belong to the owner named. Throws `wrong_incarnation`. */
export function kick(
  request: KickRequest__Output,
  { table, incarnation }: { readonly table: SessionTable; readonly incarnation: string },
): KickReply {
  if (request.comet_incarnation !== incarnation) throw new HalleyError('wrong_incarnation');
  const code = CODES.has(request.code) ? (request.code as CloseCode) : CloseCode.Kicked;
  let closed = 0;
  for (const { mid, key, owner } of request.targets) {
    const session = table.get(key as ConnectionKey);
    if (session?.state.name !== 'online') continue;
    const { identity } = session.state;
    if (identity.mid !== mid || (owner !== '' && identity.owner !== owner)) continue;
    // The route of a connection that was taken over is the new owner's.
    session.close(code, request.reason, code !== CloseCode.TakenOver);
    closed += 1;
  }
  return { closed };
}
