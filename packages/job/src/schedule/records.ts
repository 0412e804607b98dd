import { createHash } from 'node:crypto';

import { codec, protos } from '@halley/cluster/grpc/protos';
import { type BusRecord, Topic } from '@halley/store/bus/bus';
import type { LeasedMember, LeasedSchedule } from '@halley/store/schedule/schedules';

import { INGRESS_HEADER } from '../consume/goim-ingress.js';
import { recordCodec } from '../consume/push-record.js';

const scheduledCodec = codec(protos.halley.delivery.v1.Scheduled);

/** What a schedule becomes in the bus. */
export interface FiringRecords {
  readonly topic: typeof Topic.Push | typeof Topic.Bulk;
  readonly records: readonly BusRecord[];
}

/**
 * The records of a schedule that fires. They are the same each time but for the time of acceptance, which is no part of what
 * a push is known by. Throws on a content that is none.
 */
export function recordsOf(schedule: LeasedSchedule): FiringRecords {
  const { id, caller, firedAtMs, expireAtMs, members } = schedule;
  const { records, bulk, group } = scheduledCodec.decode(schedule.content);
  const body = members ? digestBody(group, members) : bufferOf(schedule.body);
  return {
    topic: bulk ? Topic.Bulk : Topic.Push,
    records: records.map(({ partition, key, push }) => {
      if (!push) throw new Error('a record without a push');
      const fields = { id, caller, body, accepted_at_ms: firedAtMs, expire_at_ms: expireAtMs };
      const value = recordCodec.encode({ pushes: [{ ...push, ...fields }] });
      // What is durable is known by its id; of what is not, comets remember where it came from.
      if (push.class === 'CLASS_DURABLE') return { partition, key, value };
      return { partition, key, value, headers: { [INGRESS_HEADER]: sourceOf(caller, id) } };
    }),
  };
}

/** The body of a digest, JSON: its members' items as they are. */
function digestBody(group: string, members: readonly LeasedMember[]): Buffer {
  const times = members.map(({ acceptedAtMs }) => acceptedAtMs);
  const head = JSON.stringify({
    group,
    count: members.length,
    first_at_ms: times.reduce((one, other) => Math.min(one, other), times[0] ?? 0),
    last_at_ms: times.reduce((one, other) => Math.max(one, other), 0),
  });
  const items = members.flatMap(({ item }, index) => (index === 0 ? [item] : [COMMA, item]));
  return Buffer.concat([Buffer.from(`${head.slice(0, -1)},"items":[`), ...items, Buffer.from(']}')]);
}

const COMMA = Buffer.from(',');

function sourceOf(caller: string, id: string): string {
  const hash = createHash('sha256')
    .update(JSON.stringify([caller, id]))
    .digest('base64url');
  return `schedule ${hash.slice(0, 22)}`;
}

function bufferOf(bytes: Uint8Array): Buffer {
  return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength);
}
