import type { StreamEntry } from '../../streams/streams.js';
import { bytesLiteral, nameLiteral, numberLiteral, textLiteral } from './literals.js';
import { senderText } from './sender.js';
import type { EntryRow } from './tables.js';

/** An entry on its way into archive_entries. */
export interface NewEntry {
  readonly shard: number;
  /** As the archive names it. */
  readonly stream: string;
  readonly entry: StreamEntry;
  /** Whether its body is kept in archive_bodies. */
  readonly isShared: boolean;
  readonly collapseId: string | undefined;
}

/** In the order of {@link entryLiteral}. */
export const ENTRY_COLUMNS: readonly (keyof EntryRow)[] = [
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
  'body_shard',
  'body',
  'sender_mid',
  'sender',
  'collapse_key',
  'collapse_id',
  'retention_ms',
];

/** A row of a statement; the epoch is a literal already. */
export function entryLiteral(
  epoch: string,
  { shard, stream, entry, isShared, collapseId }: NewEntry,
): string {
  const { keys, body, sender } = entry;
  const numbers = `${numberLiteral(entry.position)},${numberLiteral(entry.acceptedAtMs)},${numberLiteral(entry.expireAtMs)},${numberLiteral(entry.operation)}`;
  const texts = `${textLiteral(entry.id)},${textLiteral(entry.caller)},${textLiteral(entry.traceparent)},${keys.length > 0 ? textLiteral(JSON.stringify(keys)) : 'NULL'}`;
  const bodies = `${body.byteLength},${isShared ? numberLiteral(shard) : 'NULL'},${isShared ? 'NULL' : bytesLiteral(body)}`;
  const from = sender ? `${textLiteral(sender.mid)},${textLiteral(senderText(sender))}` : 'NULL,NULL';
  const collapse = `${textLiteral(entry.collapseKey ?? null)},${collapseId === undefined ? 'NULL' : nameLiteral(collapseId)}`;
  return `(${epoch},${nameLiteral(stream)},${numbers},${texts},${bodies},${from},${collapse},${numberLiteral(entry.retentionMs ?? null)})`;
}
