import type { Push } from '@halley/cluster/grpc/gen/halley/delivery/v1/Push';
import type { Sender as SenderMessage } from '@halley/cluster/grpc/gen/halley/delivery/v1/Sender';
import { HalleyError } from '@halley/protocol/error';
import type { ConnectionKey, UserId } from '@halley/protocol/ids';
import type { BusRecord } from '@halley/store/bus/bus';
import { recordSize } from '@halley/store/bus/record-size';
import { shardOf, streamOf } from '@halley/store/shard';
import type { Sender } from '@halley/store/streams/streams';

import { encodeRecord, RecordEncoder, type CallFields, type OwnFields } from './record-encoder.js';
import type { PushMessage } from './target.js';

/** Of the enum `Class`. */
const DURABLE = 1;
const EPHEMERAL = 2;

/** A record's index space (a push's position is the record's offset × 1,024 + its index). */
const MAX_PUSHES_PER_RECORD = 1_024;
/** Pushes are packed together up to this; a larger one stands alone. */
const MAX_PACKED_BYTES = 512 * 1_024;
/** What a push takes in a record beside body, id and names, roughly. */
const PUSH_OVERHEAD_BYTES = 200;

/** Who anonymous connections and unknown keys belong to. */
const NOBODY = '0' as UserId;

/** What is common to the pushes of one call. */
export interface RecordContext {
  readonly partitions: number;
  /** The users whom keys belong to; a key that is not here goes by itself. */
  readonly owners: ReadonlyMap<ConnectionKey, UserId>;
  readonly acceptedAtMs: number;
  readonly traceparent: string;
  /** Who pushed: the API key's name. */
  readonly caller: string;
}

/** A record to produce, and which pushes (by index) it carries. */
export interface PackedRecord {
  readonly record: BusRecord & { readonly partition: number };
  readonly pushes: readonly number[];
}

/** Records, and why pushes (by index) are in none of them. */
export interface PackedWithin {
  readonly records: readonly PackedRecord[];
  readonly refused: ReadonlyMap<number, HalleyError>;
}

/**
 * As {@link packRecords}, without pushes of which a partition's part is larger than a record may be. They are in no record:
 * what the bus would refuse in one partition must not appear in another.
 */
export function packWithin(
  pushes: readonly PushMessage[],
  context: RecordContext,
  maxRecordBytes: number,
): PackedWithin {
  const records = packRecords(pushes, context);
  const refused = new Map<number, HalleyError>();
  for (const { record, pushes: carried } of records) {
    const bytes = recordSize(record);
    if (bytes <= maxRecordBytes) continue;
    for (const index of carried)
      refused.set(index, tooLarge(bytes, `bus.maxRecordBytes (${maxRecordBytes})`));
  }
  if (refused.size === 0) return { records, refused };
  const kept = [...pushes.keys()].filter((index) => !refused.has(index));
  const repacked = packRecords(
    kept.map((index) => pushes[index]!),
    context,
  );
  return {
    records: repacked.map((one) => ({ ...one, pushes: one.pushes.map((at) => kept[at]!) })),
    refused,
  };
}

/** Of a push that no bus takes, however often it is repeated. `limit` says which bound it is over. */
export function tooLarge(bytes: number, limit: string): HalleyError {
  return new HalleyError(
    'invalid_argument',
    `target and body: together ${bytes} bytes in one partition of the bus, more than ${limit}; send fewer targets at once or a smaller body`,
  );
}

/**
 * Packs pushes into records: each push once in every partition that has one of its targets, naming all its targets
 * there. Records of one partition stand in the order of the pushes; several small pushes share a record.
 */
function packRecords(pushes: readonly PushMessage[], context: RecordContext): PackedRecord[] {
  const packed: PackedRecord[] = [];
  const open = new Map<number, OpenRecord>();
  const encoder = new RecordEncoder(ofCall(context));
  const close = (partition: number, record: OpenRecord): void => {
    packed.push({
      record: {
        partition,
        key: record.key,
        value: encoder.encode(record.pushes),
        entries: record.pushes.length,
      },
      pushes: record.indices,
    });
  };
  for (const [index, push] of pushes.entries()) {
    const ownBytes = PUSH_OVERHEAD_BYTES + push.body.length + Buffer.byteLength(push.id + context.caller);
    for (const [partition, slice] of slicesOf(push, context)) {
      const bytes = ownBytes + slice.nameBytes;
      let record = open.get(partition);
      if (
        record &&
        (record.bytes + bytes > MAX_PACKED_BYTES || record.pushes.length === MAX_PUSHES_PER_RECORD)
      ) {
        close(partition, record);
        record = undefined;
      }
      record ??= { key: slice.stream, pushes: [], indices: [], bytes: 0 };
      open.set(partition, record);
      record.pushes.push(ownOf(push, slice.targets));
      record.indices.push(index);
      record.bytes += bytes;
    }
  }
  for (const [partition, record] of open) close(partition, record);
  return packed;
}

/** A push's part in one partition: what a record of its own would have. */
export interface PushPart {
  readonly partition: number;
  /** The record's key. */
  readonly key: string;
  readonly push: Push;
}

/** The parts of a push, one for each partition that has one of its targets. Throws where a record would be too large. */
export function partsOf(push: PushMessage, context: RecordContext, maxRecordBytes: number): PushPart[] {
  return [...slicesOf(push, context)].map(([partition, { stream, targets }]) => {
    const part = { partition, key: stream, push: { ...ofCall(context), ...ownOf(push, targets) } as Push };
    const bytes = recordSize({ key: stream, value: encodeRecord({ pushes: [part.push] }) });
    if (bytes > maxRecordBytes) throw tooLarge(bytes, `bus.maxRecordBytes (${maxRecordBytes})`);
    return part;
  });
}

interface OpenRecord {
  readonly key: string;
  readonly pushes: OwnFields[];
  readonly indices: number[];
  bytes: number;
}

/** A push's targets in one partition. */
interface Slice {
  /** The stream of the first target; the record's key. */
  readonly stream: string;
  readonly targets: {
    users?: (UserId | number)[];
    keys?: ConnectionKey[];
    key_owners?: UserId[];
    rooms?: string[];
    everyone?: boolean;
    speed?: number;
  };
  nameBytes: number;
}

function slicesOf({ target }: PushMessage, { partitions, owners }: RecordContext): Map<number, Slice> {
  const slices = new Map<number, Slice>();
  const sliceOf = (stream: string): Slice => {
    const partition = shardOf(stream, partitions);
    let slice = slices.get(partition);
    if (!slice) {
      slice = { stream, targets: {}, nameBytes: 0 };
      slices.set(partition, slice);
    }
    slice.nameBytes += Buffer.byteLength(stream);
    return slice;
  };
  switch (target.kind) {
    case 'users':
      for (const mid of target.users) (sliceOf(streamOf.user(mid)).targets.users ??= []).push(numberOf(mid));
      break;
    case 'keys':
      for (const key of target.keys) {
        const owner = owners.get(key) ?? NOBODY;
        const stream = owner === NOBODY ? streamOf.key(key) : streamOf.user(owner);
        const slice = sliceOf(stream);
        (slice.targets.keys ??= []).push(key);
        (slice.targets.key_owners ??= []).push(owner);
        slice.nameBytes += Buffer.byteLength(key);
      }
      break;
    case 'room':
      sliceOf(streamOf.room(target.room)).targets.rooms = [target.room];
      break;
    case 'everyone':
      Object.assign(sliceOf(streamOf.everyone).targets, { everyone: true, speed: target.speed });
      break;
  }
  return slices;
}

/** Decimal digits, with a sign, that a number holds exactly: it is encoded faster than its text is parsed. */
const EXACT_DIGITS = 15;

function numberOf(mid: UserId): UserId | number {
  return mid.length <= EXACT_DIGITS ? Number(mid) : mid;
}

function ofCall({ acceptedAtMs, traceparent, caller }: RecordContext): CallFields {
  return { accepted_at_ms: acceptedAtMs, traceparent, caller };
}

function ownOf(push: PushMessage, targets: Slice['targets']): OwnFields {
  return {
    id: push.id,
    operation: push.operation,
    body: push.body,
    class: push.durable ? DURABLE : EPHEMERAL,
    expire_at_ms: push.expireAtMs,
    ...targets,
    ...(push.collapseKey !== undefined && { collapse_key: push.collapseKey }),
    ...(push.retentionMs !== undefined && { retention_ms: push.retentionMs }),
    ...(push.sender && { sender: senderOf(push.sender) }),
    ...(push.control && { control: true }),
  };
}

function senderOf({ mid, key, clientId, toMid }: Sender): SenderMessage {
  return { mid, key, client_id: clientId, to_mid: toMid };
}
