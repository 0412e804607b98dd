import { z } from 'zod';

import { type DeadLetters, MAX_LETTERS } from '../../dead/dead-letters.js';
import { outcomeOf } from '../../push/outcome.js';
import { headOf } from '../dead-letter-head.js';
import { countText, int64, int64Text, millisReply } from './fields.js';
import { serve, v1Route, type V1Endpoint } from './route.js';
import { OUTCOMES, wordsOf } from './words.js';

const headSchema = z
  .object({
    id: z.string(),
    at_ms: millisReply('When it was put aside, Unix milliseconds.'),
    topic: z.string().meta({ description: 'Where the record stood.' }),
    partition: z.int(),
    offset: z.int(),
    reason: z.string().meta({ description: 'Why it was put aside.', example: 'undecodable' }),
    detail: z.string().meta({ description: 'More about it; empty when there is no more.' }),
    value_bytes: z.int().meta({ description: 'Bytes of the whole value.' }),
    cut: z.boolean().meta({ description: 'Not all of the value was kept: it cannot be requeued.' }),
    requeued_at_ms: millisReply('When it was requeued last; 0 is never.'),
  })
  .meta({ id: 'DeadLetterHead' });

const letterSchema = z
  .object({
    ...headSchema.shape,
    key: z.string(),
    headers: z.record(z.string(), z.string()),
    value_base64: z.base64(),
  })
  .meta({ id: 'DeadLetter' });

const common = { tag: 'Dead letters', scope: 'dead-letters' } as const;

export const listDeadRoute = v1Route({
  ...common,
  method: 'GET',
  path: '/v1/dead-letters',
  id: 'listDeadLetters',
  summary: 'Records that were put aside',
  description:
    'A page, the newest first. A letter is there some seconds after it was put aside, and as long as it is kept (dead.maxAgeMs, dead.maxLetters of job).',
  query: z.strictObject({
    limit: countText(0, MAX_LETTERS, 'Entries of a page; 0 and absent are 50.').optional(),
    before: int64Text('Only letters older than this one: the last of the page before.').optional(),
    topic: z.string().optional().meta({ description: 'Only of this topic.' }),
    reason: z.string().optional().meta({ description: 'Only for this reason.' }),
  }),
  reply: z
    .object({
      letters: z.array(headSchema),
      more: z.boolean().meta({ description: 'Whether there are more behind the last.' }),
    })
    .meta({ id: 'DeadLetterList' }),
  errors: ['store_unavailable'],
});

export const getDeadRoute = v1Route({
  ...common,
  method: 'GET',
  path: '/v1/dead-letters/{id}',
  id: 'getDeadLetter',
  summary: 'One record that was put aside',
  description: 'With what the record held.',
  params: z.strictObject({ id: int64Text('The id of the letter.') }),
  reply: letterSchema,
  errors: ['store_unavailable', 'not_found'],
});

export const requeueRoute = v1Route({
  ...common,
  method: 'POST',
  path: '/v1/dead-letters/requeue',
  id: 'requeueDeadLetters',
  summary: 'Append records again',
  description:
    'Appends records at the end of the topic and partition that they came from, and answers each id with a result of its own, in order. What is wrong with a record itself puts it aside again.',
  body: z
    .strictObject({
      ids: z.array(int64('The id of a letter.')).meta({ override: { minItems: 1, maxItems: MAX_LETTERS } }),
      force: z.boolean().optional().meta({
        description: 'Also what was requeued before; otherwise that is refused (`already_requeued`).',
      }),
    })
    .meta({ id: 'RequeueRequest' }),
  reply: z
    .object({
      results: z.array(
        z
          .object({
            id: z.string(),
            outcome: z.enum(wordsOf(OUTCOMES)).meta({
              description:
                '`ok`: it is durable in its topic. `refused`: it is not, and will not be. `unknown`: it may be.',
            }),
            code: z.string().optional().meta({ description: 'A code of docs/errors.md; absent when ok.' }),
            message: z.string().optional(),
          })
          .meta({ id: 'RequeueResult' }),
      ),
    })
    .meta({ id: 'RequeueReply' }),
  examples: { two: { summary: 'Two letters', value: { ids: ['17', '18'] } } },
});

/** Dead letters over HTTP. */
export function deadLettersHttp(letters: DeadLetters): readonly V1Endpoint[] {
  return [
    serve(listDeadRoute, async ({ query }) => {
      const { limit = 0, before = '', topic = '', reason = '' } = query;
      const page = await letters.list({ limit, before, topic, reason });
      return { letters: page.letters.map(headOf), more: page.more };
    }),
    serve(getDeadRoute, async ({ params }) => {
      const letter = await letters.get(params.id);
      return {
        ...headOf(letter),
        key: letter.key,
        headers: { ...letter.headers },
        value_base64: Buffer.from(letter.value).toString('base64'),
      };
    }),
    serve(requeueRoute, async ({ body }) => {
      const answers = await letters.requeue(body.ids, body.force ?? false);
      return {
        results: answers.map(({ id, error }) => ({
          id,
          outcome: outcomeOf(error),
          ...(error && { code: error.code, message: error.message }),
        })),
      };
    }),
  ];
}
