import { LAST_PROTOCOL_OPERATION } from '@halley/protocol/operation';
import type { UserId } from '@halley/protocol/ids';

import { invalid } from '../push/target.js';
import { ANONYMOUS } from './asker.js';

/** goim's own operation of a message and its reply: every other one below belongs to the protocols. */
const MESSAGE_OPERATIONS: ReadonlySet<number> = new Set([4, 5]);

/** Checks that there is one target. Throws `invalid_argument`. */
export function checkOneTarget(room: string, toMid: UserId): void {
  if (room !== '' && toMid !== ANONYMOUS)
    throw invalid('room', 'and to_mid are both set: one target is possible');
  if (room === '' && toMid === ANONYMOUS) throw invalid('room', 'and to_mid are both missing');
}

/**
 * Checks that what a client sends to others is a message: a device of version 1 gets it as a frame of this operation, and
 * must not take it for an answer of the server's. Throws `invalid_argument`.
 */
export function checkOperation(operation: number): void {
  if (operation > LAST_PROTOCOL_OPERATION || MESSAGE_OPERATIONS.has(operation)) return;
  throw invalid(
    'operation',
    `${operation} is the protocol's; a message has 4, 5 or one above ${LAST_PROTOCOL_OPERATION}`,
  );
}
