import { HalleyError } from '@halley/protocol/error';
import type { ConnectionKey, UserId } from '@halley/protocol/ids';

import type { TokenVerifier, VerifiedToken } from '../auth/verifier.js';
import type { LogicMetrics } from '../metrics.js';

/**
 * Verifies another token for a connection that is open: of its user, and for its key where the token names one. Throws what
 * {@link TokenVerifier} does, and `bad_token` for somebody else's.
 */
export async function verifyToken(
  token: Uint8Array,
  { mid, key }: { readonly mid: UserId; readonly key: ConnectionKey },
  { verifier, metrics }: { readonly verifier: TokenVerifier; readonly metrics: LogicMetrics },
): Promise<VerifiedToken> {
  try {
    const verified = await verifier.verify(token);
    if (verified.mid !== mid) throw new HalleyError('bad_token', 'the token is of another user');
    if (verified.key !== '' && verified.key !== key) {
      throw new HalleyError('bad_token', 'the token is for another key');
    }
    return verified;
  } catch (error) {
    metrics.authFailures.inc({ reason: HalleyError.from(error).code });
    throw error;
  }
}
