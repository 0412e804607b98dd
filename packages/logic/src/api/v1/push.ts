import type { PushResult } from '@halley/cluster/grpc/gen/halley/push/v1/PushResult';
import { HalleyError } from '@halley/protocol/error';
import type { z } from 'zod';

import { invalid } from '../../push/target.js';
import type { BatchEntry, PushCalls } from '../push-calls.js';
import { parse } from './input.js';
import { batchReplySchema, batchSchema, pushReplySchema, pushSchema } from './push-schema.js';
import { serve, v1Route, type V1Endpoint } from './route.js';
import { batchExamples, pushExamples } from './push-examples.js';
import { OUTCOMES, wordFor } from './words.js';

const REFUSALS = [
  'body_too_large',
  'id_conflict',
  'overloaded',
  'deadline_exceeded',
  'bus_refused',
  'bus_unknown',
  'store_unavailable',
  'schedule_unknown',
  'store_full',
] as const;

export const pushRoute = v1Route({
  method: 'POST',
  path: '/v1/push',
  scope: 'push',
  id: 'push',
  tag: 'Push',
  summary: 'Push a message',
  description:
    'Takes one message. An answer of 200 means that it is durable: it survives any crash. A failure says in `outcome` whether it is refused or unknown.',
  pushes: true,
  body: pushSchema,
  reply: pushReplySchema,
  errors: REFUSALS,
  examples: pushExamples,
  replyExample: { id: 'order-77', deliver_at_ms: 0, duplicate: false },
});

export const batchRoute = v1Route({
  method: 'POST',
  path: '/v1/push/batch',
  scope: 'push',
  id: 'pushBatch',
  tag: 'Push',
  summary: 'Push several messages',
  description:
    'Takes up to 1,024 messages in their order and answers each with a result of its own: one that is wrong costs only itself. Ids stand in the pushes; `Idempotency-Key` is refused here.',
  pushes: true,
  body: batchSchema,
  reply: batchReplySchema,
  errors: ['overloaded'],
  examples: batchExamples,
});

/** Pushing over HTTP. */
export function pushHttp(pushes: PushCalls): readonly V1Endpoint[] {
  return [
    serve(pushRoute, async ({ body }, { origin, idempotencyKey }) => {
      if (idempotencyKey !== undefined && body.id !== '' && body.id !== idempotencyKey) {
        throw invalid('id', 'is another than the Idempotency-Key');
      }
      const reply = await pushes.push({ ...body, id: body.id || (idempotencyKey ?? '') }, origin);
      return replyOf(reply);
    }),
    serve(batchRoute, async ({ body }, { origin, idempotencyKey }) => {
      if (idempotencyKey !== undefined) {
        throw invalid('Idempotency-Key', 'is for one push; give each push of a batch an id');
      }
      const results = await pushes.batch(body.requests.map(entryOf), origin);
      return { results: results.map(resultOf) };
    }),
  ];
}

function entryOf(value: unknown, index: number): BatchEntry {
  try {
    return parse(pushSchema, value, `requests[${index}].`);
  } catch (error) {
    const { id } = Object(value) as { id?: unknown };
    return { id: typeof id === 'string' ? id : '', error: HalleyError.from(error) };
  }
}

function replyOf(
  reply: Pick<PushResult, 'id' | 'deliver_at_ms' | 'duplicate'>,
): z.input<typeof pushReplySchema> {
  return {
    id: reply.id ?? '',
    deliver_at_ms: Number(reply.deliver_at_ms ?? 0),
    duplicate: reply.duplicate ?? false,
  };
}

function resultOf(result: PushResult): z.input<typeof batchReplySchema>['results'][number] {
  const { outcome, code, message, retry_after_ms } = result;
  const told = wordFor(OUTCOMES, outcome) ?? 'unknown';
  const retryAfterMs = Number(retry_after_ms ?? 0);
  return {
    ...replyOf(result),
    outcome: told,
    ...(told !== 'ok' && { code: code ?? '', message: message ?? '' }),
    ...(retryAfterMs > 0 && { retry_after_ms: retryAfterMs }),
  };
}
