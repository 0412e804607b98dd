import { hash } from 'node:crypto';

import type { Sender__Output } from '@halley/cluster/grpc/gen/halley/delivery/v1/Sender';
import type { ConnectionKey, UserId } from '@halley/protocol/ids';
import type { AppendAnswer, AppendPush, Position, Sender } from '@halley/store/streams/streams';

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

/** By position, of the pushes that have a durable part. */
export type Fates = ReadonlyMap<Position, Fate>;

/** The durable pushes of a chunk, as the streams take them. */
export function durablePushesOf(chunk: readonly Item[]): AppendPush[] {
  return chunk.flatMap(({ pushes }) => pushes.filter(({ targets }) => targets.length > 0).map(appendPushOf));
}

/** Reads from the answer what became of the durable pushes of a chunk. */
export function fatesOf(
  chunk: readonly Item[],
  { entries, repeated }: Extract<AppendAnswer, { outcome: 'appended' }>,
): Fates {
  const repeats = new Set(repeated.map(({ position }) => position));
  const fates = new Map<Position, Fate>();
  const known: PlacedPush[] = [];
  let next = 0;
  for (const placed of chunk.flatMap(({ pushes }) => pushes)) {
    const { position, targets } = placed;
    if (targets.length === 0) continue;
    if (repeats.has(position)) {
      fates.set(position, { kind: 'repeated' });
    } else if (entries[next]?.position === position) {
      // Entries stand in the order of the pushes and of their targets.
      const first = next;
      next += targets.length;
      const hints = targets.map((target, at) => ({ ...target, prev: entries[first + at]!.prev }));
      fates.set(position, { kind: 'entry', hints });
    } else {
      known.push(placed);
    }
  }
  for (const [position, fate] of knownFates(known)) fates.set(position, fate);
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
  return {
    position,
    id: push.id,
    digest: push.id === '' ? '' : digestOf(push),
    operation: push.operation,
    body: push.body,
    acceptedAtMs,
    expireAtMs: Number(push.expire_at_ms),
    traceparent: push.traceparent,
    caller: push.caller,
    ...(push.sender && { sender: senderOf(push.sender) }),
    ...(push.collapse_key !== '' && { collapseKey: push.collapse_key }),
    ...(Number(push.retention_ms) > 0 && { retentionMs: Number(push.retention_ms) }),
    targets,
  };
}

function senderOf({ mid, key, client_id: clientId, to_mid: toMid }: Sender__Output): Sender {
  return { mid: mid as UserId, key: key as ConnectionKey, clientId, toMid: toMid as UserId };
}

/** Stands for what a caller means by an id: the operation, the targets, how it is kept and the body, but no times. */
function digestOf(push: Push): string {
  const { operation, users, keys, rooms, everyone, collapse_key, retention_ms, body } = push;
  const isKept = collapse_key !== '' || Number(retention_ms) > 0;
  const kept = isKept ? [collapse_key, Number(retention_ms)] : [];
  const shared = rooms.length > 0 || everyone || isKept ? [rooms, everyone] : [];
  const told = JSON.stringify([operation, users, keys, ...shared, ...kept]);
  // Hashing one text is several times as fast as a hash that is fed.
  const text = told + Buffer.from(body.buffer, body.byteOffset, body.byteLength).toString('latin1');
  return hash('sha256', text, 'base64url').slice(0, 22);
}
