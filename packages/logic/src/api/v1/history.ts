import { z } from 'zod';

import type { HistoryPage, HistoryReader } from '../../streams/history.js';
import {
  MAX_HISTORY_LIMIT,
  type RawHistoryAsk,
  readHistoryAsk,
  roomStream,
  userStream,
} from '../history-ask.js';
import { countText, int64Text, midText, millisReply, shown } from './fields.js';
import { serve, v1Route, type V1Endpoint } from './route.js';

const DIRECTIONS = { newest: 'backward', oldest: 'forward' } as const;

const pageFields = {
  order: z
    .enum(['newest', 'oldest'], {
      error: ({ input }) => `${shown(String(input))} is neither newest nor oldest`,
    })
    .optional()
    .meta({ description: 'Which stand first; the newest where it is left out.' }),
  after: int64Text('Only messages above this position.').optional(),
  before: int64Text('Only messages below this position.').optional(),
  epoch: z.string().optional().meta({
    description:
      'That of the reply that a position is from. Where the bus has begun another since, the question is refused.',
  }),
  from_ms: int64Text('Only messages accepted from then on, Unix milliseconds.').optional(),
  to_ms: int64Text('Only messages accepted before then, Unix milliseconds.').optional(),
  limit: countText(0, MAX_HISTORY_LIMIT, 'Entries of a page; 0 and absent are 50.').optional(),
};

const replySchema = z
  .object({
    epoch: z.string().meta({ description: 'Positions of different epochs are not comparable.' }),
    entries: z.array(
      z
        .object({
          position: z.int().meta({ description: 'Grows with each message, not by one.' }),
          id: z.string(),
          operation: z.int32(),
          body: z.base64().meta({ description: 'In base64.' }),
          keys: z
            .array(z.string())
            .meta({ description: 'For these connections of the user alone; empty is all.' }),
          accepted_at_ms: millisReply('Unix milliseconds.'),
          expire_at_ms: millisReply('Unix milliseconds; 0 is never.'),
          caller: z.string().meta({ description: "Who pushed: the API key's name, `client` for a client." }),
          from_mid: midText.optional(),
          from_key: z.string().optional().meta({ description: "The sender's connection." }),
          client_id: z.string().optional().meta({ description: "The sender's own id of the message." }),
          to_mid: midText.optional(),
        })
        .meta({ id: 'HistoryEntry' }),
    ),
    more: z.boolean().meta({ description: 'Whether there are more behind the last.' }),
  })
  .meta({ id: 'HistoryPage' });

const common = {
  method: 'GET',
  scope: 'history',
  tag: 'History',
  description:
    'A page of the durable messages, whether or not they have been delivered. While `more` is true, ask again with the position of the last entry: as `before` with the newest first, as `after` with the oldest first.',
  reply: replySchema,
  errors: ['store_unavailable'],
  replyExample: {
    epoch: '1d2c883c-6d91-42e3-b071-5fda66c8187d',
    entries: [
      {
        position: 52_224,
        id: '0199f3a0-6a51-7c0e-9d0b-1d0c5f1e8a11',
        operation: 1000,
        body: 'aGVsbG8=',
        keys: [],
        accepted_at_ms: 1_767_225_731_052,
        expire_at_ms: 0,
        caller: 'shop',
      },
    ],
    more: true,
  },
} as const;

export const userHistoryRoute = v1Route({
  ...common,
  path: '/v1/history/users/{mid}',
  id: 'readUserHistory',
  summary: 'What was pushed to a user',
  params: z.strictObject({ mid: int64Text('The user.') }),
  query: z.strictObject(pageFields),
});

export const roomHistoryRoute = v1Route({
  ...common,
  path: '/v1/history/rooms',
  id: 'readRoomHistory',
  summary: 'What was pushed to a durable room',
  query: z.strictObject({
    room: z
      .string()
      .default('')
      .meta({ description: 'The room, `{type}://{room}`.', example: 'chat://1000' }),
    ...pageFields,
  }),
});

export interface HistoryHttpDeps {
  readonly history: HistoryReader;
  /** The bus's epoch now. */
  readonly epoch: () => string;
}

/** What HistoryService answers, as JSON; bodies are base64. */
export function historyHttp({ history, epoch }: HistoryHttpDeps): readonly V1Endpoint[] {
  const read = async (stream: string, fields: z.output<typeof userHistoryRoute.query>) =>
    jsonOf(await history.read(readHistoryAsk(rawAsk(stream, fields), epoch())));
  return [
    serve(userHistoryRoute, async ({ params, query }) => read(userStream(params.mid), query)),
    serve(roomHistoryRoute, async ({ query }) => read(roomStream(query.room), query)),
  ];
}

function rawAsk(stream: string, fields: z.output<typeof userHistoryRoute.query>): RawHistoryAsk {
  return {
    stream,
    direction: DIRECTIONS[fields.order ?? 'newest'],
    after: fields.after,
    before: fields.before,
    epoch: fields.epoch ?? '',
    fromMs: fields.from_ms ?? '0',
    toMs: fields.to_ms ?? '0',
    limit: fields.limit ?? 0,
  };
}

function jsonOf({ epoch, entries, more }: HistoryPage): z.input<typeof replySchema> {
  return {
    epoch,
    entries: entries.map((entry) => ({
      position: entry.position,
      id: entry.id,
      operation: entry.operation,
      body: Buffer.from(entry.body).toString('base64'),
      keys: [...entry.keys],
      accepted_at_ms: entry.acceptedAtMs,
      expire_at_ms: entry.expireAtMs,
      caller: entry.caller,
      ...(entry.sender && {
        from_mid: entry.sender.mid,
        from_key: entry.sender.key,
        client_id: entry.sender.clientId,
        to_mid: entry.sender.toMid,
      }),
    })),
    more,
  };
}
