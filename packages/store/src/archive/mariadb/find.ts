import type { ConnectionKey } from '@halley/protocol/ids';

import type { FoundEntry } from '../archive.js';
import { senderIn } from './sender.js';
import type { Queries } from './tables.js';

const FOUND = [
  'epoch',
  'stream',
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

/** Entries by the id of their push; bodies are not read. */
export async function findEntries(
  db: Queries,
  caller: string,
  id: string,
  max: number,
): Promise<FoundEntry[]> {
  const rows = await db
    .selectFrom('archive_entries')
    .select(FOUND)
    .where('id', '=', id)
    .where('caller', '=', caller)
    .orderBy('stream')
    .limit(max)
    .execute();
  // To the database a name is the same with blanks behind it.
  const exact = rows.filter((row) => row.id === id && row.caller === caller);
  return exact.map((row) => {
    const sender = senderIn(row.sender_mid, row.sender);
    return {
      epoch: row.epoch.toString('utf8'),
      stream: row.stream.toString('utf8'),
      position: row.position,
      id: row.id,
      operation: row.operation,
      keys: row.only_keys === null ? [] : (JSON.parse(row.only_keys) as ConnectionKey[]),
      acceptedAtMs: row.accepted_at_ms,
      expireAtMs: row.expire_at_ms,
      traceparent: row.traceparent,
      caller: row.caller,
      bodyBytes: row.body_bytes,
      ...(sender && { sender }),
      ...(row.collapse_key !== null && { collapseKey: row.collapse_key }),
      ...(row.retention_ms !== null && { retentionMs: row.retention_ms }),
    };
  });
}
