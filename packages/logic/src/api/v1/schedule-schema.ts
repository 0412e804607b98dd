import type { PushRequest } from '@halley/cluster/grpc/gen/halley/push/v1/PushRequest';
import type { PutRecurringRequest__Output } from '@halley/cluster/grpc/gen/halley/push/v1/PutRecurringRequest';
import type { Recurring } from '@halley/cluster/grpc/gen/halley/push/v1/Recurring';
import type { Schedule } from '@halley/cluster/grpc/gen/halley/push/v1/Schedule';
import type { Target } from '@halley/cluster/grpc/gen/halley/push/v1/Target';
import { z } from 'zod';

import { midText, millis, millisReply } from './fields.js';
import { bodyOf, contentFields, contentOf } from './push-schema.js';
import { CLASSES, PRIORITIES, SCHEDULE_KINDS, SCHEDULE_STATES, wordFor, wordsOf } from './words.js';

/** Whom a push is for, as it is answered. */
const targetReply = z
  .object({
    users: z.object({ mids: z.array(midText) }).optional(),
    keys: z.object({ keys: z.array(z.string()) }).optional(),
    room: z.string().optional(),
    everyone: z.object({ speed: z.int() }).optional(),
  })
  .meta({ id: 'TargetReply' });

const contentReply = {
  target: targetReply,
  operation: z.int32(),
  class: z.enum(wordsOf(CLASSES)).optional().meta({ description: "Absent is the target's default." }),
  collapse_key: z.string().optional(),
  retention_ms: millisReply('Absent is as long as its stream.').optional(),
  priority: z.enum(wordsOf(PRIORITIES)),
};

export const scheduleSchema = z
  .object({
    id: z.string(),
    kind: z.enum(wordsOf(SCHEDULE_KINDS)).meta({
      description:
        '`push`: one with a time of its own, or an occurrence of a recurring one. `digest`: what a group is delivered as. `member`: a push of a group.',
    }),
    state: z.enum(wordsOf(SCHEDULE_STATES)).meta({
      description:
        '`waiting`: it can be cancelled. `firing`: it is being written to the bus. `fired`: it is in the bus, and delivered as any push. `cancelled`. `failed`: it could not be delivered; the log of job says more.',
    }),
    deliver_at_ms: millisReply('Unix milliseconds.'),
    accepted_at_ms: millisReply('Unix milliseconds.'),
    fired_at_ms: millisReply('When it was first written to the bus; 0 is not yet.'),
    expire_at_ms: millisReply('0 is never.'),
    ...contentReply,
    target: targetReply.optional().meta({ description: 'Absent of a member: that of its digest.' }),
    operation: z.int32().optional().meta({ description: 'Absent of a member.' }),
    group: z.string().optional().meta({ description: 'The key of the group.' }),
    digest_id: z.string().optional().meta({ description: 'Of a member: the id of its digest.' }),
    count: z.int().optional().meta({ description: 'Of a digest: how many pushes it has now.' }),
    recurring: z
      .string()
      .optional()
      .meta({ description: 'Of an occurrence: the name of the recurring push.' }),
    body_bytes: z.int(),
    body_base64: z.base64().optional().meta({
      description: 'Of a single one alone; absent of a digest, whose body is made when it is delivered.',
    }),
  })
  .meta({ id: 'Schedule' });

/** A schedule as JSON. `whole`: with its body. */
export function scheduleJson(schedule: Schedule, whole: boolean): z.input<typeof scheduleSchema> {
  const { target, group, digest_id, count, recurring, body } = schedule;
  return {
    id: schedule.id ?? '',
    kind: wordFor(SCHEDULE_KINDS, schedule.kind) ?? 'push',
    state: wordFor(SCHEDULE_STATES, schedule.state) ?? 'waiting',
    deliver_at_ms: Number(schedule.deliver_at_ms ?? 0),
    accepted_at_ms: Number(schedule.accepted_at_ms ?? 0),
    fired_at_ms: Number(schedule.fired_at_ms ?? 0),
    expire_at_ms: Number(schedule.expire_at_ms ?? 0),
    ...contentJson(schedule),
    target: target ? targetJson(target) : undefined,
    operation: target ? schedule.operation : undefined,
    ...(group && { group }),
    ...(digest_id && { digest_id }),
    ...(count && { count }),
    ...(recurring && { recurring }),
    body_bytes: Number(schedule.body_bytes ?? 0),
    ...(whole && schedule.kind !== SCHEDULE_KINDS.digest && { body_base64: base64(body) }),
  };
}

const PUSH_EXAMPLE = { target: { room: 'chat://1000' }, operation: 1000, body: 'stand-up in five minutes' };

export const putRecurringSchema = z
  .strictObject({
    cron: z.string().meta({
      description:
        'Five fields (minute, hour, day of the month, month, day of the week), or six with the second before them; also @hourly, @daily, @weekly, @monthly, @yearly.',
      example: '55 8 * * 1-5',
    }),
    time_zone: z.string().optional().meta({
      description: 'An IANA name; UTC where it is left out.',
      example: 'Europe/Berlin',
    }),
    push: z
      .strictObject(contentFields)
      .refine((push) => bodyOf(push) !== undefined, {
        path: ['body_base64'],
        error: 'not together with body',
      })
      .meta({
        id: 'RecurringPush',
        description: 'What is pushed. It has no id, time, group or expire_at_ms of its own.',
        example: PUSH_EXAMPLE,
      }),
    end_at_ms: millis('No occurrence after this, Unix milliseconds; 0 is for ever.').optional(),
    expire_after_ms: millis(
      'An occurrence is of no use so long after its time; 0 is always of use.',
    ).optional(),
  })
  .transform(
    ({ cron, time_zone, push, end_at_ms, expire_after_ms }): Omit<PutRecurringRequest__Output, 'name'> => ({
      cron,
      time_zone: time_zone ?? '',
      push: {
        ...contentOf(push),
        id: '',
        expire_at_ms: '0',
        deliver_at_ms: '0',
        delay_ms: '0',
        group: null,
      },
      end_at_ms: end_at_ms ?? '0',
      expire_after_ms: expire_after_ms ?? '0',
    }),
  )
  .meta({ id: 'PutRecurring' });

export const recurringExample = {
  cron: '55 8 * * 1-5',
  time_zone: 'Europe/Berlin',
  push: PUSH_EXAMPLE,
  expire_after_ms: 300_000,
};

export const recurringSchema = z
  .object({
    name: z.string(),
    cron: z.string(),
    time_zone: z.string().meta({ description: 'Empty is UTC.' }),
    push: z
      .object({ ...contentReply, body_base64: z.base64().optional().meta({ description: 'Not in a list.' }) })
      .meta({ id: 'RecurringPushReply' }),
    end_at_ms: millisReply('0 is for ever.'),
    expire_after_ms: millisReply('0 is always of use.'),
    next_at_ms: millisReply('The next occurrence, Unix milliseconds; 0: it has ended.'),
    last_at_ms: millisReply('The last occurrence; 0: there was none.'),
    missed: z.int().meta({
      description:
        'Occurrences that were left out since they would have been later than a newer one, as after an outage.',
    }),
  })
  .meta({ id: 'Recurring' });

/** A recurring push as JSON. `whole`: with its body. */
export function recurringJson(recurring: Recurring, whole: boolean): z.input<typeof recurringSchema> {
  const push = recurring.push ?? {};
  return {
    name: recurring.name ?? '',
    cron: recurring.cron ?? '',
    time_zone: recurring.time_zone ?? '',
    push: {
      ...contentJson(push),
      target: targetJson(push.target ?? {}),
      ...(whole && { body_base64: base64(push.body) }),
    },
    end_at_ms: Number(recurring.end_at_ms ?? 0),
    expire_after_ms: Number(recurring.expire_after_ms ?? 0),
    next_at_ms: Number(recurring.next_at_ms ?? 0),
    last_at_ms: Number(recurring.last_at_ms ?? 0),
    missed: Number(recurring.missed ?? 0),
  };
}

type Content = Pick<PushRequest, 'operation' | 'class' | 'collapse_key' | 'retention_ms' | 'priority'>;

function contentJson({ operation, class: named, collapse_key, retention_ms, priority }: Content) {
  const word = wordFor(CLASSES, named);
  return {
    operation: operation ?? 0,
    ...(word && { class: word }),
    ...(collapse_key && { collapse_key }),
    ...(Number(retention_ms ?? 0) > 0 && { retention_ms: Number(retention_ms) }),
    priority: wordFor(PRIORITIES, priority) ?? ('normal' as const),
  };
}

function targetJson({ users, keys, room, everyone }: Target): z.input<typeof targetReply> {
  return {
    ...(users && { users: { mids: (users.mids ?? []).map(String) } }),
    ...(keys && { keys: { keys: keys.keys ?? [] } }),
    ...(room !== undefined && { room }),
    ...(everyone && { everyone: { speed: everyone.speed ?? 0 } }),
  };
}

function base64(body: Uint8Array | string | undefined): string {
  return Buffer.from(body ?? '').toString('base64');
}
