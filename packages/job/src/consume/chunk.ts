import type { ConnectionKey, RoomId, UserId } from '@halley/protocol/ids';
import type { ReadRecord } from '@halley/store/bus/bus';
import { isIn, type Shard, streamOf } from '@halley/store/shard';
import type { AppendTarget, Position } from '@halley/store/streams/streams';

import type { Followers, PushTargets } from '../deliver/router.js';
import { BadRecord, decodePushes, MAX_PUSHES_PER_RECORD, positionOf, type Push } from './push-record.js';

/** A stream that a push is an entry of, and who follows it. */
export interface StreamTarget extends AppendTarget {
  readonly to: Followers;
}

/** A push, where it stands, and what of it is kept. */
export interface PlacedPush {
  readonly push: Push;
  readonly position: Position;
  /** Unix milliseconds. */
  readonly acceptedAtMs: number;
  /** The streams that it is an entry of, each once. */
  readonly targets: readonly StreamTarget[];
  /** Who is sent it as it is, without a stream: what is not kept, and connections without a known user. */
  readonly live: PushTargets;
}

/** A record, and its pushes or why it has none. */
export interface Item {
  readonly read: ReadRecord;
  readonly pushes: readonly PlacedPush[];
  readonly why: BadRecord | undefined;
}

/** A chunk goes to the stores in one piece: some thousand pushes and targets, some megabytes. */
const MAX_PUSHES = 2_048;
const MAX_TARGETS = 4_096;
const MAX_BYTES = 4 * 1_048_576;

const NONE: readonly never[] = [];
const NOT_LIVE: PushTargets = { users: NONE, keys: NONE, rooms: NONE, everyone: false };
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
    const pushes = decodePushes(read.value);
    const placed: PlacedPush[] = [];
    for (let index = 0; index < pushes.length; index += 1)
      placed.push(place(pushes[index]!, read, index, shard));
    return { read, pushes: placed, why: undefined };
  } catch (error) {
    if (!(error instanceof BadRecord)) throw error;
    return { read, pushes: NONE, why: error };
  }
}

function place(push: Push, read: ReadRecord, index: number, shard: Shard): PlacedPush {
  const position = positionOf(read.offset, index);
  const acceptedAtMs = push.accepted_at_ms || read.timestampMs;
  if (push.class === 'CLASS_EPHEMERAL') return { push, position, acceptedAtMs, targets: NONE, live: push };
  const only = onlyTarget(push, shard);
  if (only) return { push, position, acceptedAtMs, targets: [only], live: NOT_LIVE };
  const targets: StreamTarget[] = [];
  const live: Live = { users: [], keys: [], rooms: [], everyone: false };
  placeUsers(push, shard, targets, live);
  placeShared(push, shard, targets, live);
  return { push, position, acceptedAtMs, targets, live };
}

/** The target of a push for one user and nobody else, as most are. */
function onlyTarget({ users, keys, rooms, everyone }: Push, shard: Shard): StreamTarget | undefined {
  const mid = users[0];
  if (users.length !== 1 || keys.length + rooms.length > 0 || everyone) return undefined;
  if (mid === undefined || mid === NOBODY) return undefined;
  const stream = streamOf.user(mid);
  return isIn(stream, shard) ? { to: { kind: 'user', mid }, stream, keys: NONE } : undefined;
}

interface Live {
  readonly users: UserId[];
  readonly keys: ConnectionKey[];
  readonly rooms: RoomId[];
  everyone: boolean;
}

/** What is for users and keys is kept, unless it was pushed to be dropped. */
function placeUsers(push: Push, shard: Shard, targets: StreamTarget[], { users, keys }: Live): void {
  const named = new Map<UserId, ConnectionKey[]>();
  for (const mid of push.users) {
    if (hasStream(mid, shard)) named.set(mid, []);
    else users.push(mid);
  }
  for (const [at, key] of push.keys.entries()) {
    const mid = push.key_owners[at] ?? (NOBODY as UserId);
    const only = named.get(mid);
    // No keys are all devices of the user.
    if (only) {
      if (only.length > 0 && !only.includes(key)) only.push(key);
    } else if (hasStream(mid, shard)) named.set(mid, [key]);
    else keys.push(key);
  }
  for (const [mid, only] of named)
    targets.push({ to: { kind: 'user', mid }, stream: streamOf.user(mid), keys: only });
}

/** What is for rooms and everyone is kept only where logic said so. */
function placeShared(push: Push, shard: Shard, targets: StreamTarget[], live: Live): void {
  const durable = push.class === 'CLASS_DURABLE';
  for (const room of new Set(push.rooms)) {
    const stream = streamOf.room(room);
    if (durable && isIn(stream, shard)) targets.push({ to: { kind: 'room', room }, stream, keys: [] });
    else live.rooms.push(room);
  }
  if (!push.everyone) return;
  const stream = streamOf.everyone;
  if (durable && isIn(stream, shard)) targets.push({ to: { kind: 'everyone' }, stream, keys: [] });
  else live.everyone = true;
}

/** Anonymous connections have no stream; one is read in its own partition only. */
function hasStream(mid: UserId, shard: Shard): boolean {
  return mid !== NOBODY && isIn(streamOf.user(mid), shard);
}
