import type { Generated, Kysely, Selectable } from 'kysely';

/** The tables as migrations/ makes them; what the columns mean is said there. Names are bytes. */
export interface ArchiveTables {
  archive_watermarks: { epoch: Buffer; shard: number; position: number };
  archive_streams: {
    epoch: Buffer;
    stream: Buffer;
    floor: number;
    resumable: number;
    resumable_from_ms: number;
    archived: number;
    archived_from_ms: number;
  };
  archive_entries: {
    epoch: Buffer;
    stream: Buffer;
    position: number;
    accepted_at_ms: number;
    expire_at_ms: number;
    operation: number;
    id: string;
    caller: string;
    traceparent: string;
    only_keys: string | null;
    body_bytes: number;
    body_shard: number | null;
    body: Buffer | null;
    sender_mid: string | null;
    sender: string | null;
    collapse_key: string | null;
    collapse_id: Buffer | null;
    retention_ms: number | null;
  };
  archive_collapses: { epoch: Buffer; stream: Buffer; collapse_id: Buffer; position: number };
  archive_endings: { epoch: Buffer; stream: Buffer; position: number; ends_at_ms: number };
  read_positions: {
    mid: string;
    stream: Buffer;
    epoch: Buffer;
    position: number;
    at_ms: number;
  };
  ledger_exceptions: {
    row_id: Buffer;
    push_id: Buffer;
    caller: Buffer;
    kind: string;
    reason: string;
    tier: string;
    node: string;
    at_ms: number;
    last_at_ms: number;
    stream: Buffer;
    position: number | null;
    device_keys: string | null;
    count: number;
  };
  dead_letters: {
    id: Generated<number>;
    epoch: Buffer;
    dead_partition: number;
    dead_offset: number;
    at_ms: number;
    topic: string;
    from_partition: number;
    from_offset: number;
    reason: string;
    detail: string;
    record_key: string;
    headers: string;
    value: Buffer;
    value_bytes: number;
    is_cut: number;
    requeued_at_ms: number;
    source: Buffer | null;
  };
  archive_bodies: { epoch: Buffer; shard: number; position: number; entries: number; body: Buffer };
}

/** Runs queries, in a transaction or not. */
export type Queries = Kysely<ArchiveTables>;

export type EntryRow = ArchiveTables['archive_entries'];

export type DeadLetterRow = Selectable<ArchiveTables['dead_letters']>;

/** A name as it is compared and stored. */
export function bytesOf(name: string): Buffer {
  return Buffer.from(name, 'utf8');
}
