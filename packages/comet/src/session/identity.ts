import type { ConnectionKey, UserId } from '@halley/protocol/ids';

import type { SessionRef } from '../logic-link.js';
import type { MayUse, Rights } from './rights.js';

/**
 * Who an authenticated connection is, and what it may do. A class, because there is one for each connection: V8 gives objects
 * that are spread together with functions in them a hidden class each, which takes more than the object.
 */
export class Identity implements SessionRef, Rights {
  readonly mid: UserId;
  readonly key: ConnectionKey;
  readonly owner: string;
  readonly tokenDeadlineMs: number;
  readonly tokenExpiresAtMs: number;
  readonly mayEnter: MayUse;
  readonly mayPublish: MayUse;
  readonly maySendToUsers: boolean;
  readonly asksToSend: boolean;

  constructor(
    { mid, key, owner }: SessionRef,
    /** How long the connection lives without a heartbeat. */
    readonly heartbeatMs: number,
    rights: Rights,
  ) {
    this.mid = mid;
    this.key = key;
    this.owner = owner;
    this.tokenDeadlineMs = rights.tokenDeadlineMs;
    this.tokenExpiresAtMs = rights.tokenExpiresAtMs;
    this.mayEnter = rights.mayEnter;
    this.mayPublish = rights.mayPublish;
    this.maySendToUsers = rights.maySendToUsers;
    this.asksToSend = rights.asksToSend;
  }
}
