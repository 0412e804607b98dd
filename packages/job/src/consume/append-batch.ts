import { hash } from 'node:crypto';

import type { Sender__Output } from '@halley/cluster/grpc/gen/halley/delivery/v1/Sender';
import type { ConnectionKey, RoomId, UserId } from '@halley/protocol/ids';
import { isIn, type Shard, streamOf } from '@halley/store/shard';
import type { AppendAnswer, AppendPush, Followed, Position, Sender } from '@halley/store/streams/streams';

import type { EntryHint } from '../deliver/router.js';
import type { Item, PlacedPush } from './chunk.js';
import type { Push } from './push-record.js';

/** What became of the durable part of a push. */
export type Fate =
  /** It was appended: whoever has it next can be sent it. */
  | { readonly kind: 'entry'; readonly hints: readonly EntryHint[] }
  /** It had been taken in before, perhaps by another job: its streams may have news, which are to be read. */
  | { readonly kind: 'known'; readonly hints: readonly EntryHint[] }
  /** Its id had been taken in before, at another position. */
  | { readonly kind: 'repeated' };

const REPEATED: Fate = { kind: 'repeated' };

/** By position, of the pushes that have a durable part. */
export type Fates = ReadonlyMap<Position, Fate>;

/** The durable pushes of a chunk, as the streams take them. */
export function durablePushesOf(chunk: readonly Item[]): AppendPush[] {
  const durable: AppendPush[] = [];
  for (const { pushes } of chunk)
    for (const placed of pushes) if (placed.targets.length > 0) durable.push(appendPushOf(placed));
  return durable;
}

/** Whose routes of this shard a chunk needs; undefined where it needs none. */
export function followedIn(chunk: readonly Item[], shard: Shard): Followed | undefined {
  const users = new Set<UserId>();
  const rooms = new Set<RoomId>();
  for (const { pushes } of chunk) {
    for (const { targets, live } of pushes) {
      for (const { to } of targets) {
        if (to.kind === 'user') users.add(to.mid);
        else if (to.kind === 'room') rooms.add(to.room);
      }
      for (const mid of live.users) if (isIn(streamOf.user(mid), shard)) users.add(mid);
      for (const room of live.rooms) if (isIn(streamOf.room(room), shard)) rooms.add(room);
    }
  }
  if (users.size + rooms.size === 0) return undefined;
  return { users: [...users], rooms: [...rooms] };
}

/** Reads from the answer what became of the durable pushes of a chunk. */
export function fatesOf(
  chunk: readonly Item[],
  { entries, repeated }: Extract<AppendAnswer, { outcome: 'appended' }>,
): Fates {
  const repeats = repeated.length > 0 ? new Set(repeated.map(({ position }) => position)) : undefined;
  const fates = new Map<Position, Fate>();
  const known: PlacedPush[] = [];
  let next = 0;
  for (const { pushes } of chunk) {
    for (const placed of pushes) {
      const { position, targets } = placed;
      if (targets.length === 0) continue;
      if (repeats?.has(position)) {
        fates.set(position, REPEATED);
      } else if (entries[next]?.position === position) {
        // Entries stand in the order of the pushes and of their targets.
        const hints: EntryHint[] = [];
        for (const { to, stream, keys } of targets)
          hints.push({ to, stream, prev: entries[next++]!.prev, keys });
        fates.set(position, { kind: 'entry', hints });
      } else {
        known.push(placed);
      }
    }
  }
  if (known.length > 0) for (const [position, fate] of knownFates(known)) fates.set(position, fate);
  return fates;
}

/** Of a stream, the last says that there are news. */
function knownFates(known: readonly PlacedPush[]): Map<Position, Fate> {
  const last = new Map<string, Position>();
  for (const { position, targets } of known) for (const { stream } of targets) last.set(stream, position);
  return new Map(
    known.map(({ position, targets }) => {
      const named = targets.filter(({ stream }) => last.get(stream) === position);
      // Neither what stands before it is known here, nor whether it stands there itself, for all devices or for some. So it
      // is never sent as it is, even if its body goes along for others: the stream is read.
      const hints = named.map(({ to, stream }) => ({ to, stream, keys: [], prev: position }));
      return [position, { kind: 'known', hints }];
    }),
  );
}

function appendPushOf({ push, position, acceptedAtMs, targets }: PlacedPush): AppendPush {
  const appended: AppendPush = {
    position,
    id: push.id,
    digest: push.id === '' ? '' : digestOf(push),
    operation: push.operation,
    body: push.body,
    acceptedAtMs,
    expireAtMs: push.expire_at_ms,
    traceparent: push.traceparent,
    caller: push.caller,
    targets,
  };
  const { sender, collapse_key: collapseKey, retention_ms: retentionMs } = push;
  if (!sender && collapseKey === '' && retentionMs <= 0) return appended;
  return {
    ...appended,
    ...(sender && { sender: senderOf(sender) }),
    ...(collapseKey !== '' && { collapseKey }),
    ...(retentionMs > 0 && { retentionMs }),
  };
}

function senderOf({ mid, key, client_id: clientId, to_mid: toMid }: Sender__Output): Sender {
  return { mid: mid as UserId, key: key as ConnectionKey, clientId, toMid: toMid as UserId };
}

/** Stands for what a caller means by an id: the operation, the targets, how it is kept and the body, but no times. */
function digestOf(push: Push): string {
  // Hashing one text is several times as fast as a hash that is fed.
  return hash('sha256', told(push) + push.body.toString('latin1'), 'base64url').slice(0, 22);
}

function told({ operation, users, keys, rooms, everyone, collapse_key, retention_ms }: Push): string {
  const isKept = collapse_key !== '' || retention_ms > 0;
  const isShared = rooms.length > 0 || everyone;
  // As JSON, which the digits of users need no escapes for.
  if (!isKept && !isShared && keys.length === 0 && users.length === 1)
    return `[${operation},["${users[0]}"],[]]`;
  const kept = isKept ? [collapse_key, retention_ms] : [];
  const shared = isShared || isKept ? [rooms, everyone] : [];
  return JSON.stringify([operation, users, keys, ...shared, ...kept]);
}
