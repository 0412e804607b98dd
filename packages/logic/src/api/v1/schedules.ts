import { z } from 'zod';

import type { ScheduleCalls } from '../../schedule/calls.js';
import { countText, shown } from './fields.js';
import { serve, v1Route, type V1Endpoint } from './route.js';
import {
  putRecurringSchema,
  recurringExample,
  recurringJson,
  recurringSchema,
  scheduleJson,
  scheduleSchema,
} from './schedule-schema.js';
import { SCHEDULE_STATES, wordsOf } from './words.js';

const MAX_LIMIT = 1_000;

const pageFields = {
  limit: countText(0, MAX_LIMIT, 'Entries of a page, at most 1,000; 0 and absent are 100.').optional(),
  page: z.string().optional().meta({ description: '`next_page` of the page before.' }),
};
const nextPage = z.string().meta({ description: 'Empty when there is no more.' });

const statesText = z
  .array(z.string())
  .transform((values, context) =>
    values
      .flatMap((value) => value.split(','))
      .map((text, index) => {
        const word = wordsOf(SCHEDULE_STATES).find((known) => known === text);
        if (!word) {
          const message = `${shown(text)} is none of ${wordsOf(SCHEDULE_STATES).join(', ')}`;
          context.addIssue({ code: 'custom', path: [index], message });
        }
        return SCHEDULE_STATES[word ?? 'waiting'];
      }),
  )
  .meta({
    description:
      'Only these states (waiting, firing, fired, cancelled, failed): the field repeated, or separated by commas. Waiting and firing where it is left out.',
    override: { type: 'array', items: { type: 'string' } },
  });

const common = { tag: 'Schedules', scope: 'push', errors: ['store_unavailable'] } as const;
const one = { ...common, errors: ['store_unavailable', 'not_found'] } as const;
const idParams = z.strictObject({
  id: z.string().meta({ description: 'The message id.', example: 'order-77' }),
});
const nameParams = z.strictObject({
  name: z.string().meta({ description: 'Of the caller’s; 1 to 100 characters.', example: 'stand-up' }),
});

export const listSchedulesRoute = v1Route({
  ...common,
  method: 'GET',
  path: '/v1/schedules',
  id: 'listSchedules',
  summary: 'What waits for its time',
  description: "A page of the caller's pushes with a time, by the time of delivery.",
  query: z.strictObject({ state: statesText.optional(), ...pageFields }),
  reply: z.object({ schedules: z.array(scheduleSchema), next_page: nextPage }).meta({ id: 'ScheduleList' }),
});

export const getScheduleRoute = v1Route({
  ...one,
  method: 'GET',
  path: '/v1/schedules/{id}',
  id: 'getSchedule',
  summary: 'One push that waits, or waited',
  description: 'With its body. One that was delivered or cancelled is known for a day (schedule.keepMs).',
  params: idParams,
  reply: scheduleSchema,
});

export const cancelRoute = v1Route({
  ...common,
  method: 'DELETE',
  path: '/v1/schedules/{id}',
  id: 'cancelSchedule',
  summary: 'Cancel a push',
  description:
    'When it answers 200, the push is never delivered. One that was cancelled before is answered the same. Of a group, the id of one push takes that one out, the id of the digest cancels all of it.',
  params: idParams,
  reply: z.object({ id: z.string(), state: z.literal('cancelled') }).meta({ id: 'Cancelled' }),
  errors: ['store_unavailable', 'not_found', 'too_late'],
  replyExample: { id: 'order-77', state: 'cancelled' },
});

export const listRecurringRoute = v1Route({
  ...common,
  method: 'GET',
  path: '/v1/recurring',
  id: 'listRecurring',
  summary: 'Recurring pushes',
  description: "A page of the caller's recurring pushes, by name, without their bodies.",
  query: z.strictObject(pageFields),
  reply: z.object({ recurring: z.array(recurringSchema), next_page: nextPage }).meta({ id: 'RecurringList' }),
});

export const getRecurringRoute = v1Route({
  ...one,
  method: 'GET',
  path: '/v1/recurring/{name}',
  id: 'getRecurring',
  summary: 'One recurring push',
  description: 'With its body.',
  params: nameParams,
  reply: recurringSchema,
});

export const putRecurringRoute = v1Route({
  ...common,
  method: 'PUT',
  path: '/v1/recurring/{name}',
  id: 'putRecurring',
  summary: 'Make a recurring push',
  description:
    "Makes it, or puts it in the place of that by this name. An occurrence's message id is `{name}@{its time in Unix milliseconds}`.",
  params: nameParams,
  body: putRecurringSchema,
  reply: recurringSchema,
  errors: ['store_unavailable', 'body_too_large'],
  examples: { standUp: { summary: 'Each working day at 8:55 in Berlin', value: recurringExample } },
});

export const deleteRecurringRoute = v1Route({
  ...one,
  method: 'DELETE',
  path: '/v1/recurring/{name}',
  id: 'deleteRecurring',
  summary: 'End a recurring push',
  description: 'An occurrence that is being delivered goes on.',
  params: nameParams,
  reply: z.object({ name: z.string() }).meta({ id: 'RecurringEnded' }),
});

/** Schedules over HTTP. */
export function schedulesHttp(calls: ScheduleCalls): readonly V1Endpoint[] {
  return [
    serve(listSchedulesRoute, async ({ query }, { origin }) => {
      const { state = [], limit = 0, page = '' } = query;
      const reply = await calls.list(origin.caller, { states: state, limit, page });
      const schedules = (reply.schedules ?? []).map((schedule) => scheduleJson(schedule, false));
      return { schedules, next_page: reply.next_page ?? '' };
    }),
    serve(getScheduleRoute, async ({ params }, { origin }) =>
      scheduleJson(await calls.get(origin.caller, params.id), true),
    ),
    serve(cancelRoute, async ({ params }, { origin }) => {
      await calls.cancel(origin.caller, params.id);
      return { id: params.id, state: 'cancelled' as const };
    }),
    serve(listRecurringRoute, async ({ query }, { origin }) => {
      const { limit = 0, page = '' } = query;
      const reply = await calls.listRecurring(origin.caller, { limit, page });
      const recurring = (reply.recurring ?? []).map((entry) => recurringJson(entry, false));
      return { recurring, next_page: reply.next_page ?? '' };
    }),
    serve(getRecurringRoute, async ({ params }, { origin }) =>
      recurringJson(await calls.getRecurring(origin.caller, params.name), true),
    ),
    serve(putRecurringRoute, async ({ params, body }, { origin }) =>
      recurringJson(await calls.putRecurring(origin.caller, { ...body, name: params.name }), true),
    ),
    serve(deleteRecurringRoute, async ({ params }, { origin }) => {
      await calls.deleteRecurring(origin.caller, params.name);
      return { name: params.name };
    }),
  ];
}
