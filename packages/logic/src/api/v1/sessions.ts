import type { DisconnectRequest__Output } from '@halley/cluster/grpc/gen/halley/push/v1/DisconnectRequest';
import type { TierView } from '@halley/cluster/registry/registry';
import { z } from 'zod';

import { parseInt64 } from '../../int64.js';
import { listNodes } from '../list-nodes.js';
import { MAX_PRESENCE, MAX_REASON_LENGTH, type SessionCalls } from '../session-calls.js';
import { midText, millisReply, shown } from './fields.js';
import { keysField, usersField } from './push-schema.js';
import { serve, v1Route, type V1Endpoint } from './route.js';

/** User ids of a query: the field repeated, or ids separated by commas. */
const midsText = z
  .array(z.string())
  .transform((values, context) =>
    values
      .flatMap((value) => value.split(','))
      .map((text, index) => {
        const mid = parseInt64(text.trim());
        if (mid === undefined) {
          context.addIssue({
            code: 'custom',
            path: [index],
            message: `${shown(text)} is not a 64-bit integer`,
          });
        }
        return mid ?? '0';
      }),
  )
  .meta({
    description: `User ids, at most ${MAX_PRESENCE}: the field repeated, or separated by commas.`,
    override: { type: 'array', items: { type: 'string' } },
    example: ['1', '2'],
  });

export const presenceRoute = v1Route({
  method: 'GET',
  path: '/v1/presence',
  scope: 'presence',
  id: 'getPresence',
  tag: 'Connections',
  summary: 'Who is connected',
  description:
    'The connections that users have now: one entry for each id, in their order. Those of a comet that was killed stay until their lease ends (routes.leaseMs).',
  query: z.strictObject({ mid: midsText }),
  reply: z
    .object({
      users: z.array(
        z
          .object({
            mid: midText,
            connections: z
              .array(
                z.object({
                  key: z.string().meta({ example: 'phone-1' }),
                  node: z.string().meta({ description: 'The comet that holds the connection.' }),
                  connected_at_ms: millisReply('Since when, Unix milliseconds.'),
                }),
              )
              .meta({ description: 'Empty when the user is not connected.' }),
          })
          .meta({ id: 'UserPresence' }),
      ),
    })
    .meta({ id: 'Presence' }),
  errors: ['store_unavailable'],
});

export const disconnectRoute = v1Route({
  method: 'POST',
  path: '/v1/disconnect',
  scope: 'disconnect',
  id: 'disconnect',
  tag: 'Connections',
  summary: 'Close connections',
  description:
    'Closes the connections of users, or single ones. A user may connect again; take the token away first where that should not be.',
  body: z
    .strictObject({
      users: usersField.optional(),
      keys: keysField.optional(),
      reason: z
        .string()
        .optional()
        .meta({
          description: `Told to WebSocket clients; at most ${MAX_REASON_LENGTH} characters.`,
          example: 'signed out',
        }),
    })
    .transform((value, context): DisconnectRequest__Output => {
      const { users, keys, reason = '' } = value;
      if (users && keys) context.addIssue('exactly one of users and keys is to be set');
      if (users) return { target: 'users', users, reason };
      return keys ? { target: 'keys', keys, reason } : { reason };
    })
    .meta({ id: 'DisconnectRequest', description: 'Exactly one of `users` and `keys` is set.' }),
  reply: z
    .object({ closed: z.int().meta({ description: 'How many connections were closed.' }) })
    .meta({ id: 'DisconnectReply' }),
  errors: ['store_unavailable', 'unavailable'],
  examples: {
    users: { summary: 'All connections of a user', value: { users: { mids: ['1'] }, reason: 'signed out' } },
    keys: { summary: 'One connection', value: { keys: { keys: ['phone-1'] } } },
  },
  replyExample: { closed: 2 },
});

const TIERS = ['comet', 'logic', 'job'] as const;

export const nodesRoute = v1Route({
  method: 'GET',
  path: '/v1/nodes',
  scope: 'nodes',
  id: 'listNodes',
  tag: 'Cluster',
  summary: 'The nodes of the cluster',
  description: 'The registered nodes of every tier, or of one; what `halley nodes` prints.',
  query: z.strictObject({
    tier: z
      .enum(TIERS, { error: 'comet, logic or job; leave it out for all' })
      .optional()
      .meta({ description: 'Only this tier.' }),
  }),
  reply: z
    .object({
      nodes: z.array(
        z
          .object({
            tier: z.enum(TIERS),
            id: z.string(),
            incarnation: z.string().meta({ description: 'Changes with each start of the node.' }),
            state: z.enum(['serving', 'draining']),
            addresses: z.record(z.string(), z.string()).meta({ example: { grpc: '127.0.0.1:3119' } }),
            region: z.string(),
            zone: z.string(),
            weight: z.int(),
            connections: z.int().meta({ description: 'Of a comet.' }),
            registered_at_ms: millisReply('Since when, Unix milliseconds.'),
          })
          .meta({ id: 'Node' }),
      ),
    })
    .meta({ id: 'Nodes' }),
});

export interface SessionsHttpDeps {
  readonly sessions: SessionCalls;
  /** The views of every tier. */
  readonly tiers: readonly TierView[];
}

/** Presence, disconnect and nodes over HTTP. */
export function sessionsHttp({ sessions, tiers }: SessionsHttpDeps): readonly V1Endpoint[] {
  return [
    serve(presenceRoute, async ({ query }) => ({
      users: (await sessions.presence(query.mid)).map(({ mid, connections = [] }) => ({
        mid: String(mid),
        connections: connections.map(({ key = '', node = '', connected_at_ms }) => ({
          key,
          node,
          connected_at_ms: Number(connected_at_ms),
        })),
      })),
    })),
    serve(disconnectRoute, async ({ body }) => ({ closed: await sessions.disconnect(body) })),
    serve(nodesRoute, async ({ query }) => ({ nodes: listNodes(tiers, query.tier ?? '') })),
  ];
}
