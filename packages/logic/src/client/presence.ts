import type { Presence } from '@halley/cluster/grpc/gen/halley/client/v1/Presence';
import type { UserId } from '@halley/protocol/ids';
import type { Routes } from '@halley/store/routes/routes';

import { invalid } from '../push/target.js';

/** Users of one call. */
const MAX_USERS = 1_000;

/**
 * How users are now, in the order asked for. Routes know neither platforms nor when a connection ended: those stay empty.
 * Throws `invalid_argument`, `store_unavailable`.
 */
export async function presenceOf(mids: readonly string[], routes: Pick<Routes, 'find'>): Promise<Presence[]> {
  if (mids.length > MAX_USERS) throw invalid('mids', `more than ${MAX_USERS}`);
  const users = [...new Set(mids)] as UserId[];
  const found = (await routes.find({ users })).users;
  return mids.map((mid) => ({ mid, online: (found.get(mid as UserId)?.length ?? 0) > 0 }));
}
