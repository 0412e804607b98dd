import type { ConnectionKey } from '@halley/protocol/ids';

import type { ArchivedEntry } from '../archive.js';
import { senderIn } from './sender.js';
import type { EntryRow } from './tables.js';

/** The columns of an entry without its body. */
export const HEAD = [
  'position',
  'accepted_at_ms',
  'expire_at_ms',
  'operation',
  'id',
  'caller',
  'traceparent',
  'only_keys',
  'body_bytes',
  'sender_mid',
  'sender',
  'collapse_key',
  'retention_ms',
] as const;

/** A row of {@link HEAD}. */
export type Head = Pick<EntryRow, (typeof HEAD)[number]>;

/** The entry in a row, without its body. */
export function headOf(row: Head): Omit<ArchivedEntry, 'body'> {
  const sender = senderIn(row.sender_mid, row.sender);
  return {
    position: row.position,
    id: row.id,
    operation: row.operation,
    keys: row.only_keys === null ? [] : (JSON.parse(row.only_keys) as ConnectionKey[]),
    acceptedAtMs: row.accepted_at_ms,
    expireAtMs: row.expire_at_ms,
    traceparent: row.traceparent,
    caller: row.caller,
    ...(sender && { sender }),
    ...(row.collapse_key !== null && { collapseKey: row.collapse_key }),
    ...(row.retention_ms !== null && { retentionMs: row.retention_ms }),
  };
}
