import { CloseCode } from '@halley/protocol/close-code';
import type { ConnectionKey, UserId } from '@halley/protocol/ids';
import type { Routes } from '@halley/store/routes/routes';

import type { Kicker } from './kick.js';

/** Connections that a business wants closed. */
export interface DisconnectTarget {
  readonly users?: readonly UserId[];
  readonly keys?: readonly ConnectionKey[];
}

/** Closes the connections of users, or single ones; answers how many there were. Throws `store_unavailable`. */
export async function disconnect(
  target: DisconnectTarget,
  reason: string,
  { routes, kicker }: { readonly routes: Routes; readonly kicker: Kicker },
): Promise<number> {
  const found = await routes.find(target);
  const all = [...[...found.users.values()].flat(), ...found.keys.values()];
  return kicker.kick(all, CloseCode.Kicked, reason, 'disconnect');
}
