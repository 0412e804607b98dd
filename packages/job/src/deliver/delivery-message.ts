import type { Delivery } from '@halley/cluster/grpc/gen/halley/delivery/v1/Delivery';

import type { Push } from '../consume/push-decoder.js';
import type { CometTargets } from './router.js';

/** What a delivery costs in memory beside its body and names, in bytes. */
const DELIVERY_OVERHEAD_BYTES = 256;
/** What each connection, room or stream costs beside its name. */
const TARGET_OVERHEAD_BYTES = 16;

const NO_BODY = Buffer.alloc(0);
/** As numbers: deliveries are encoded as they are. */
const CLASSES = { CLASS_UNSPECIFIED: 0, CLASS_DURABLE: 1, CLASS_EPHEMERAL: 2 } as const;

/** How a push is sent. */
export interface Sending {
  readonly position: number;
  /** The record of goim's topic that it was taken from; empty for other pushes. */
  readonly source: string;
  /** For everyone: messages a second on this comet. */
  readonly speed: number;
  readonly withoutBody: boolean;
}

/** Whether all that a comet is to do with a push is to tell streams of it: then a body can be left out. */
export function isForStreamsOnly({ keys, rooms, everyone }: CometTargets<unknown>): boolean {
  return keys.length + rooms.length === 0 && !everyone;
}

/** A push as one comet is sent it: once, with all its targets there. */
export function messageOf(
  push: Push,
  { position, source, speed, withoutBody }: Sending,
  { keys, rooms, everyone, hints }: CometTargets<unknown>,
): Delivery {
  return {
    position,
    id: push.id,
    operation: push.operation,
    body: withoutBody ? NO_BODY : push.body,
    class: CLASSES[push.class],
    expire_at_ms: push.expire_at_ms,
    keys,
    rooms,
    everyone,
    speed,
    traceparent: push.traceparent,
    streams: hints.map(({ stream, prev, keys: only }) => ({ stream, prev, keys: [...only] })),
    without_body: withoutBody,
    sender: push.sender,
    control: push.control,
    accepted_at_ms: push.accepted_at_ms,
    caller: push.caller,
    source,
  };
}

/** What a delivery weighs in a queue, in bytes. */
export function weightOf(bodyBytes: number, { keys, rooms, hints }: CometTargets<unknown>): number {
  let bytes = DELIVERY_OVERHEAD_BYTES + bodyBytes;
  for (const key of keys) bytes += key.length + TARGET_OVERHEAD_BYTES;
  for (const room of rooms) bytes += room.length + TARGET_OVERHEAD_BYTES;
  for (const { stream, keys: only } of hints) {
    bytes += stream.length + TARGET_OVERHEAD_BYTES;
    for (const key of only) bytes += key.length + TARGET_OVERHEAD_BYTES;
  }
  return bytes;
}
