import type { Identity } from './identity.js';

/**
 * Where a connection stands:
 * greeting → authenticating → online → closing → closed, and from each state to closing or closed. Who is gone while what
 * it said still waits goes authenticating → departing → leaving → closed, or online → leaving → closed.
 */
export type SessionState =
  /** No auth yet; other frames are ignored up to a limit. */
  | { readonly name: 'greeting'; readonly earlyBytes: number }
  /** logic is being asked. */
  | { readonly name: 'authenticating' }
  /** Its route is written; it is in the tables. */
  | { readonly name: 'online'; readonly identity: Identity }
  /** Gone while logic is being asked, with frames behind its auth. */
  | { readonly name: 'departing' }
  /** Gone and in no table; what it said before is handed over, as from the room in which it was. */
  | Leaving
  /** We close it: told the client, waiting for its side. */
  | { readonly name: 'closing' }
  | { readonly name: 'closed' };

/** A connection that is gone and has frames left to hand over. */
export interface Leaving {
  readonly name: 'leaving';
  readonly identity: Identity;
  /** Empty is no room. */
  readonly roomId: string;
}
