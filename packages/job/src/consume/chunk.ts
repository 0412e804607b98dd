import type { ConnectionKey, UserId } from '@halley/protocol/ids';
import type { ReadRecord } from '@halley/store/bus/bus';
import { shardOf, streamOf } from '@halley/store/shard';
import type { AppendTarget, Position } from '@halley/store/streams/streams';

import type { PushTargets } from '../deliver/router.js';
import { BadRecord, decodePushes, MAX_PUSHES_PER_RECORD, positionOf, type Push } from './push-record.js';

/** A user's stream that a push is an entry of. */
export interface UserTarget extends AppendTarget {
  readonly mid: UserId;
}

/** A push, where it stands, and what of it is kept. */
export interface PlacedPush {
  readonly push: Push;
  readonly position: Position;
  /** Unix milliseconds. */
  readonly acceptedAtMs: number;
  /** The streams that it is an entry of, each once. */
  readonly targets: readonly UserTarget[];
  /** Who is sent it as it is, without a stream: rooms, everyone, and connections without a known user. */
  readonly live: PushTargets;
}

/** A record, and its pushes or why it has none. */
export interface Item {
  readonly read: ReadRecord;
  readonly pushes: readonly PlacedPush[];
  readonly why: BadRecord | undefined;
}

/** The partition that records are of, among how many. */
export interface Shard {
  readonly partition: number;
  readonly shards: number;
}

/** A chunk goes to the stores in one piece: some thousand pushes and targets, some megabytes. */
const MAX_PUSHES = 2_048;
const MAX_TARGETS = 4_096;
const MAX_BYTES = 4 * 1_048_576;

const NONE: readonly UserTarget[] = [];
const NOBODY = '0';

/**
 * The first of these records, to be taken in together: all, unless they are very many. One that cannot be decoded comes
 * last, alone of its kind.
 */
export function nextChunk(records: readonly ReadRecord[], shard: Shard): Item[] {
  const chunk: Item[] = [];
  let pushes = 0;
  let targets = 0;
  let bytes = 0;
  for (const read of records) {
    bytes += read.value.byteLength;
    if (chunk.length > 0 && bytes > MAX_BYTES) break;
    const item = itemOf(read, shard);
    chunk.push(item);
    pushes += item.pushes.length;
    for (const placed of item.pushes) targets += placed.targets.length;
    if (item.why || pushes >= MAX_PUSHES || targets >= MAX_TARGETS) break;
  }
  return chunk;
}

/** The last position that a record covers, whatever it holds. */
export function endOf({ offset }: ReadRecord): Position {
  return (offset + 1) * MAX_PUSHES_PER_RECORD - 1;
}

function itemOf(read: ReadRecord, shard: Shard): Item {
  try {
    const pushes = decodePushes(read.value).map((push, index) => place(push, read, index, shard));
    return { read, pushes, why: undefined };
  } catch (error) {
    if (!(error instanceof BadRecord)) throw error;
    return { read, pushes: [], why: error };
  }
}

function place(push: Push, read: ReadRecord, index: number, shard: Shard): PlacedPush {
  const placed = {
    push,
    position: positionOf(read.offset, index),
    acceptedAtMs: Number(push.accepted_at_ms) || read.timestampMs,
  };
  if (!isDurable(push)) return { ...placed, targets: NONE, live: push };
  const users: UserId[] = [];
  const keys: ConnectionKey[] = [];
  const targets = new Map<UserId, ConnectionKey[]>();
  for (const mid of push.users) {
    if (hasStream(mid, shard)) targets.set(mid, []);
    else users.push(mid);
  }
  for (const [at, key] of push.keys.entries()) {
    const mid = push.key_owners[at] ?? (NOBODY as UserId);
    const named = targets.get(mid);
    // No keys are all devices of the user.
    if (named) {
      if (named.length > 0 && !named.includes(key)) named.push(key);
    } else if (hasStream(mid, shard)) targets.set(mid, [key]);
    else keys.push(key);
  }
  return {
    ...placed,
    targets: [...targets].map(([mid, only]) => ({ mid, stream: streamOf.user(mid), keys: only })),
    live: { users, keys, rooms: push.rooms, everyone: push.everyone },
  };
}

/** What is for users and keys is kept, unless it was pushed to be dropped. */
function isDurable(push: Push): boolean {
  if (push.class === 'CLASS_EPHEMERAL') return false;
  return push.users.length + push.keys.length > 0;
}

/** Anonymous connections have no stream; and a stream is read in its own partition only. */
function hasStream(mid: UserId, { partition, shards }: Shard): boolean {
  return mid !== NOBODY && shardOf(streamOf.user(mid), shards) === partition;
}
