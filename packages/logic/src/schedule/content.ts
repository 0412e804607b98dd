import { createHash } from 'node:crypto';

import { codec, protos } from '@halley/cluster/grpc/protos';
import type { Push__Output } from '@halley/cluster/grpc/gen/halley/delivery/v1/Push';
import type { Target as TargetMessage } from '@halley/cluster/grpc/gen/halley/push/v1/Target';

import type { PushPart } from '../push/record.js';
import type { PushMessage } from '../push/target.js';

const scheduled = codec(protos.halley.delivery.v1.Scheduled);

/** What the schedules keep of a push beside its body. */
export function encodeContent(parts: readonly PushPart[], push: PushMessage): Buffer {
  return scheduled.encode({
    records: parts.map(({ partition, key, push: { body: _, ...rest } }) => ({
      partition,
      key,
      push: { ...rest, accepted_at_ms: 0 },
    })),
    bulk: push.bulk === true,
    group: push.group?.key ?? '',
  });
}

/** A push as its content tells it, in the words of the API. */
export interface ToldContent {
  readonly target: TargetMessage;
  readonly operation: number;
  readonly class: 'DELIVERY_CLASS_DURABLE' | 'DELIVERY_CLASS_EPHEMERAL';
  readonly collapse_key: string;
  readonly retention_ms: string;
  readonly priority: 'PRIORITY_NORMAL' | 'PRIORITY_BULK';
}

/** Tells what a content says; `group` is the key of a digest's. Throws on what is none. */
export function decodeContent(content: Uint8Array): { readonly told: ToldContent; readonly group: string } {
  const { records, bulk, group } = scheduled.decode(content);
  const pushes = records.flatMap(({ push }) => (push ? [push] : []));
  const [first] = pushes;
  return {
    told: {
      target: targetOf(pushes),
      operation: first?.operation ?? 0,
      class: first?.class === 'CLASS_DURABLE' ? 'DELIVERY_CLASS_DURABLE' : 'DELIVERY_CLASS_EPHEMERAL',
      collapse_key: first?.collapse_key ?? '',
      retention_ms: first?.retention_ms ?? '0',
      priority: bulk ? 'PRIORITY_BULK' : 'PRIORITY_NORMAL',
    },
    group,
  };
}

function targetOf(pushes: readonly Push__Output[]): TargetMessage {
  const [first] = pushes;
  const [room] = first?.rooms ?? [];
  if (room !== undefined) return { room };
  if (first?.everyone) return { everyone: { speed: first.speed } };
  const keys = pushes.flatMap((push) => push.keys);
  return keys.length > 0 ? { keys: { keys } } : { users: { mids: pushes.flatMap((push) => push.users) } };
}

/** Stands for what a caller means by an id: everything but times. */
export function digestOf(push: PushMessage): string {
  const { operation, durable, collapseKey, retentionMs, bulk, target, group, body } = push;
  return hash([operation, durable, collapseKey, retentionMs, bulk, target, group?.key], body);
}

/** Tells the groups of a caller apart. */
export function groupName({ operation, durable, target, group }: PushMessage): string {
  return hash([group?.key, operation, durable, target]);
}

function hash(parts: readonly unknown[], body: Uint8Array = Buffer.alloc(0)): string {
  return createHash('sha256').update(JSON.stringify(parts)).update(body).digest('base64url');
}
