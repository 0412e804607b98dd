import type { Target__Output } from '@halley/cluster/grpc/gen/halley/push/v1/Target';
import type { PushRequest__Output } from '@halley/cluster/grpc/gen/halley/push/v1/PushRequest';
import { z } from 'zod';

import { MAX_GROUP_COUNT, MAX_ID_LENGTH, MAX_LABEL_LENGTH } from '../../push/read-push.js';
import { MAX_BATCH } from '../push-calls.js';
import { int64, millis, millisReply } from './fields.js';
import { CLASSES, OUTCOMES, PRIORITIES, wordsOf } from './words.js';

/** Whom users and keys name, also those of a disconnect. */
export const usersField = z
  .strictObject({
    mids: z.array(int64('A user id.')).meta({ description: 'User ids.', example: ['1', '2'] }),
  })
  .meta({ id: 'Users' });
export const keysField = z
  .strictObject({ keys: z.array(z.string()).meta({ description: 'Keys of connections.' }) })
  .meta({ id: 'Keys' });

const TARGETS = ['users', 'keys', 'room', 'everyone'] as const;

const targetField = z
  .strictObject({
    users: usersField
      .optional()
      .meta({ description: 'All connections of these users that accept the operation.' }),
    keys: keysField.optional().meta({ description: 'These connections, where they accept the operation.' }),
    room: z.string().optional().meta({
      description: 'All connections in this room, `{type}://{room}`.',
      example: 'live://1000',
    }),
    everyone: z
      .strictObject({
        speed: z.int32().optional().meta({
          description: 'Messages a second over the whole cluster; 0 is as fast as it goes.',
        }),
      })
      .optional()
      .meta({ description: 'All connections that accept the operation.' }),
  })
  .transform((value, context): Target__Output | null => {
    const [target, ...more] = TARGETS.filter((name) => value[name] !== undefined);
    if (more.length > 0) context.addIssue(`exactly one of ${TARGETS.join(', ')} is to be set`);
    if (!target) return null;
    const { users, keys, room, everyone } = value;
    return {
      target,
      ...(users && { users }),
      ...(keys && { keys }),
      ...(room !== undefined && { room }),
      ...(everyone && { everyone: { speed: everyone.speed ?? 0 } }),
    } as Target__Output;
  })
  .meta({
    id: 'Target',
    description: 'Whom a push is for: exactly one is set.',
    override: { minProperties: 1, maxProperties: 1 },
  });

/** What every push has: whom, what, and how. Recurring ones have no id and time of their own. */
export const contentFields = {
  target: targetField,
  operation: z.int32().meta({
    description: 'The operation of the frame that clients receive. Not 0 for rooms and everyone.',
    example: 1000,
  }),
  body: z
    .string()
    .refine((text) => !/\p{Surrogate}/u.test(text), 'has half of a surrogate pair')
    .optional()
    .meta({
      description: 'The message as text (UTF-8). At most push.maxBodyBytes (1 MiB).',
      example: 'hello',
    }),
  body_base64: z
    .base64()
    .optional()
    .meta({ description: 'The message in base64, in place of `body`.', example: 'aGVsbG8=' }),
  class: z.enum(wordsOf(CLASSES)).optional().meta({
    description:
      "The target's default where it is left out: durable for users, keys and durable rooms (push.durableRooms), ephemeral for other rooms and everyone.",
  }),
  collapse_key: z.string().max(MAX_LABEL_LENGTH, LONG_LABEL()).optional().meta({
    description:
      'Of the durable messages of a user or room with the same key, a device that catches up is shown the newest alone.',
    example: 'score',
  }),
  retention_ms: millis(
    'How long after its acceptance the message can be resumed and read in the history, at most; 0 is as long as its stream.',
  ).optional(),
  priority: z.enum(wordsOf(PRIORITIES)).optional().meta({
    description: '`bulk` waits while there is a backlog of other pushes, and is in order among its like.',
  }),
};

/** A push, as `POST /v1/push` takes it; comes out as gRPC has it. */
export const pushSchema = z
  .strictObject({
    ...contentFields,
    id: z.string().max(MAX_ID_LENGTH, LONG_LABEL()).optional().meta({
      description:
        'The message id; a fresh one is given when it is left out. Repeat with the same id after `unknown`.',
      example: 'order-77',
    }),
    expire_at_ms: millis(
      'Unix time in milliseconds after which the message is of no use; 0 is never.',
    ).optional(),
    deliver_at_ms: millis(
      'When to deliver it, Unix milliseconds; 0 or a time that has passed is at once. Until then it can be cancelled. At most push.maxDelayMs ahead.',
    ).optional(),
    delay_ms: millis(
      'After how long to deliver it, milliseconds. Not together with `deliver_at_ms`.',
    ).optional(),
    group: z
      .strictObject({
        key: z
          .string()
          .meta({ description: `At most ${MAX_LABEL_LENGTH} characters.`, example: 'likes-of-post-7' }),
        window_ms: millis('The group is delivered so long after its first push; at most push.maxDelayMs.'),
        max_count: z
          .int32()
          .optional()
          .meta({
            description: `Or with so many pushes, if that is sooner; ${MAX_GROUP_COUNT} is the most and the default.`,
          }),
      })
      .optional()
      .meta({
        id: 'Group',
        description:
          'Waits with others of the group (same key, target and operation), and is delivered with them as one.',
      }),
  })
  .transform((value, context): PushRequest__Output => {
    const body = bodyOf(value);
    if (!body) context.addIssue({ code: 'custom', path: ['body_base64'], message: 'not together with body' });
    const { id, expire_at_ms, deliver_at_ms, delay_ms, group } = value;
    return {
      ...contentOf(value),
      id: id ?? '',
      expire_at_ms: expire_at_ms ?? '0',
      deliver_at_ms: deliver_at_ms ?? '0',
      delay_ms: delay_ms ?? '0',
      group: group ? { ...group, max_count: group.max_count ?? 0 } : null,
    };
  })
  .meta({ id: 'PushRequest', description: 'A push: whom, what, and how.' });

type Content = z.output<z.ZodObject<typeof contentFields>>;

/** What {@link contentFields} hold, as gRPC has it. */
export function contentOf(value: Content) {
  return {
    target: value.target,
    operation: value.operation,
    body: bodyOf(value) ?? Buffer.alloc(0),
    class: value.class ? CLASSES[value.class] : 'DELIVERY_CLASS_UNSPECIFIED',
    collapse_key: value.collapse_key ?? '',
    retention_ms: value.retention_ms ?? '0',
    priority: value.priority ? PRIORITIES[value.priority] : 'PRIORITY_UNSPECIFIED',
  } as const;
}

/** The body; undefined when both are there. */
export function bodyOf({ body, body_base64 }: Pick<Content, 'body' | 'body_base64'>): Buffer | undefined {
  if (body !== undefined && body_base64 !== undefined) return undefined;
  return body_base64 === undefined ? Buffer.from(body ?? '') : Buffer.from(body_base64, 'base64');
}

function LONG_LABEL() {
  return {
    error: ({ input, maximum }: { input?: unknown; maximum?: number | bigint }) =>
      `${String(input).length} characters, more than ${String(maximum)}`,
  };
}

const replyFields = {
  id: z.string().meta({ description: 'The message id, given or fresh.', example: 'order-77' }),
  deliver_at_ms: millisReply('When it is to be delivered, Unix milliseconds; 0 is at once.'),
  duplicate: z.boolean().meta({
    description:
      'It had been taken in before, under the same id. A repeat that comes too soon to be known says false.',
  }),
};

/** The answer to a push. */
export const pushReplySchema = z.object(replyFields).meta({ id: 'PushReply' });

/** A batch: its pushes are checked one by one, so that one that is wrong costs only itself. */
export const batchSchema = z.strictObject({
  requests: z
    .array(z.unknown().meta({ override: { $ref: '#/components/schemas/PushRequest' } }))
    .meta({ description: 'The pushes, in their order.', override: { minItems: 1, maxItems: MAX_BATCH } }),
});

export const batchReplySchema = z
  .object({
    results: z
      .array(
        z
          .object({
            ...replyFields,
            outcome: z.enum(wordsOf(OUTCOMES)).meta({
              description:
                '`ok`: durable. `refused`: it will never appear. `unknown`: it may appear; repeat with the same id before sending the next.',
            }),
            code: z.string().optional().meta({ description: 'A code of docs/errors.md; absent when ok.' }),
            message: z.string().optional().meta({
              description: 'What was wrong and what would be right; absent when ok.',
            }),
            retry_after_ms: z
              .int()
              .optional()
              .meta({ description: 'When to repeat; absent when there is no such hint.' }),
          })
          .meta({ id: 'PushResult' }),
      )
      .meta({ description: 'One for each push of the request, in its order.' }),
  })
  .meta({ id: 'PushBatchReply' });
