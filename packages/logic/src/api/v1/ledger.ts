import { z } from 'zod';

import { DEVICE_STATES, type Trace, type TracedDevice } from '../../ledger/trace.js';
import { type LedgerCalls, MAX_TRACED_DEVICES } from '../ledger-calls.js';
import { countText, midText, millisReply } from './fields.js';
import { serve, v1Route, type V1Endpoint } from './route.js';

const position = (description: string) => z.int().meta({ description });

const streamSchema = z
  .object({
    stream: z.string().meta({ description: '`u/{mid}`, `r/{type}://{room}` or `all`.', example: 'u/1' }),
    epoch: z.string(),
    position: position('Where it stands in the stream.'),
    archived: z.boolean().meta({ description: 'It is in the archive; else in the hot part alone.' }),
    keys: z.array(z.string()).meta({ description: 'Only these devices; empty is all.' }),
    read: z.boolean().optional().meta({ description: 'Whether the user has read it, where that is known.' }),
  })
  .meta({ id: 'TracedStream' });

const deviceSchema = z
  .object({
    stream: z.string(),
    mid: midText.optional(),
    key: z.string(),
    state: z.enum(DEVICE_STATES).meta({
      description:
        '`waiting` in the stream: the device is away or behind; `sending`: on its way out of the comet; `sent`: it has left the comet; `acknowledged`: the device has it; `other_devices`: it names others of the user; `not_accepted`: the device does not accept the operation; `expired`, `dropped`: its turn passed without it, or will; `earlier`: it stands in front of where what is known of the device begins; `unknown`: the comet did not answer.',
    }),
    connected: z.boolean(),
    node: z.string().optional().meta({ description: 'The comet that holds the connection.' }),
    transport: z.string().optional().meta({ example: 'websocket' }),
    version: z.int().optional().meta({ description: 'Of the client protocol.' }),
    connected_at_ms: millisReply('Since when, Unix milliseconds.').optional(),
    sent_position: position('Up to where the stream has left for the connection.').optional(),
    acknowledged_position: position('Up to where the device has it; -1 is nothing.').optional(),
    by: z.enum(['ack', 'heartbeat']).optional().meta({
      description:
        'How the device acknowledges: it says so (version 2), or it was there by the heartbeat before the last (version 1).',
    }),
    last_seen_ms: millisReply('Of a device that is away: when it was here last, to some seconds.').optional(),
  })
  .meta({ id: 'TracedDevice' });

const counts = Object.fromEntries(DEVICE_STATES.map((state) => [state, z.int()])) as Record<
  (typeof DEVICE_STATES)[number],
  z.ZodInt
>;

const replySchema = z
  .object({
    id: z.string(),
    caller: z.string().meta({ description: 'Who pushed.' }),
    state: z
      .enum([
        'unknown',
        'refused',
        'scheduled',
        'cancelled',
        'dead',
        'waiting',
        'sent',
        'acknowledged',
        'expired',
        'dropped',
        'fired',
        'removed',
      ])
      .meta({
        description:
          '`unknown`: never accepted, or not kept and nothing went wrong with it, or older than what is kept, or accepted a moment ago; `waiting`: some of its devices do not have it yet, or none is known; `sent`: it has left for each; `acknowledged`: each has it; `fired`: its time came; `removed`: retention took it.',
      }),
    accepted_at_ms: millisReply('Unix milliseconds.').optional(),
    expire_at_ms: millisReply('Unix milliseconds; 0 is never.'),
    class: z.enum(['durable']).optional(),
    operation: z.int32().optional(),
    body_bytes: z.int().optional(),
    from_mid: midText.optional(),
    from_key: z.string().optional().meta({ description: "The sender's device, where a client sent it." }),
    schedule: z
      .object({
        state: z.enum(['waiting', 'firing', 'fired', 'cancelled', 'failed']),
        deliver_at_ms: millisReply('When it is due, Unix milliseconds.'),
        fired_at_ms: millisReply('When it was first handed on.').optional(),
        ended_at_ms: millisReply('When it was fired, cancelled or failed.').optional(),
        digest_id: z
          .string()
          .optional()
          .meta({ description: 'The digest that it is delivered with, to be traced in its place.' }),
        members: z.int().meta({ description: 'Of a digest: how many were delivered with it.' }),
        recurring: z.string().optional(),
      })
      .optional()
      .meta({ id: 'TracedSchedule' }),
    streams: z.int().meta({ description: 'How many streams it stands in.' }),
    appended: z.array(streamSchema).meta({ description: 'The first 100 of them.' }),
    counts: z.object(counts).meta({ id: 'DeviceCounts', description: 'Over all devices that are known.' }),
    devices: z.array(deviceSchema).meta({ description: 'By stream and key.' }),
    next: z.string().optional().meta({ description: 'For the devices behind these; absent is none.' }),
    exceptions: z
      .array(
        z
          .object({
            kind: z.enum(['expired', 'dropped', 'dead', 'refused']),
            reason: z.string().meta({ example: 'room_slow' }),
            tier: z.enum(['logic', 'job', 'comet']),
            node: z.string(),
            at_ms: millisReply('The first time.'),
            last_at_ms: millisReply('The last time.'),
            stream: z.string().optional(),
            keys: z.array(z.string()).meta({ description: 'Some of the devices that it is about.' }),
            count: z.int().meta({ description: 'Of how many devices or messages.' }),
          })
          .meta({ id: 'TracedException' }),
      )
      .meta({ description: 'What went wrong, the oldest first, at most 100.' }),
    more_exceptions: z.int(),
    lost_reports: z.int().meta({
      description:
        'Of so many things that went wrong with any push since this one was accepted, nobody knows any more.',
    }),
    notes: z.array(z.string()).meta({ description: 'What could not be found out, or is good to know.' }),
  })
  .meta({ id: 'Trace' });

export const traceRoute = v1Route({
  method: 'GET',
  path: '/v1/pushes/{id}/trace',
  scope: ['push', 'trace'],
  id: 'tracePush',
  tag: 'Ledger',
  summary: 'What became of a push',
  description:
    'Where a push of the last day stands, which devices have it, and what went wrong with it. Of one of which nothing is known the state is `unknown`.',
  params: z.strictObject({ id: z.string().meta({ description: 'The id that its answer named.' }) }),
  query: z.strictObject({
    caller: z.string().optional().meta({
      description:
        'Who pushed it: the name of an API key, `goim` for its topic, `client` for what clients sent; whoever asks where it is left out. Another one takes a key with the scope `trace`.',
    }),
    limit: countText(0, MAX_TRACED_DEVICES, 'Devices of a page; 0 and absent are 100.').optional(),
    after: z.string().optional().meta({ description: '`next` of the page before.' }),
  }),
  reply: replySchema,
  errors: ['store_unavailable'],
  replyExample: {
    id: 'order-77',
    caller: 'shop',
    state: 'waiting',
    accepted_at_ms: 1_767_225_731_052,
    expire_at_ms: 0,
    class: 'durable',
    operation: 1000,
    body_bytes: 16,
    streams: 1,
    appended: [
      {
        stream: 'u/1',
        epoch: '1d2c883c-6d91-42e3-b071-5fda66c8187d',
        position: 52_224,
        archived: true,
        keys: [],
        read: false,
      },
    ],
    counts: { ...Object.fromEntries(DEVICE_STATES.map((state) => [state, 0])), acknowledged: 1, waiting: 1 },
    devices: [
      {
        stream: 'u/1',
        mid: '1',
        key: 'phone-1',
        state: 'acknowledged',
        connected: true,
        node: 'comet-1',
        transport: 'websocket',
        version: 2,
        connected_at_ms: 1_767_225_600_000,
        sent_position: 52_224,
        acknowledged_position: 52_224,
        by: 'ack',
      },
      {
        stream: 'u/1',
        mid: '1',
        key: 'tablet',
        state: 'waiting',
        connected: false,
        acknowledged_position: 40_960,
        by: 'ack',
        last_seen_ms: 1_767_200_000_000,
      },
    ],
    exceptions: [],
    more_exceptions: 0,
    lost_reports: 0,
    notes: [],
  },
});

/** What LedgerService answers, as JSON. */
export function ledgerHttp(ledger: LedgerCalls): readonly V1Endpoint[] {
  return [
    serve(traceRoute, async ({ params, query }, { origin }) => {
      const { caller, limit = 0, after = '' } = query;
      return jsonOf(await ledger.trace({ id: params.id, caller, limit, after }, origin.caller));
    }),
  ];
}

/** A trace as JSON: what is not known is left out. */
export function jsonOf(trace: Trace): z.input<typeof replySchema> {
  const { schedule, sender } = trace;
  const isFound = trace.streams > 0;
  return {
    id: trace.id,
    caller: trace.caller,
    state: trace.state,
    ...known({ accepted_at_ms: trace.acceptedAtMs }),
    expire_at_ms: trace.expireAtMs,
    ...(trace.durable && { class: 'durable' as const }),
    ...(isFound && { operation: trace.operation }),
    ...((isFound || schedule) && { body_bytes: trace.bodyBytes }),
    ...(sender && { from_mid: sender.mid, from_key: sender.key }),
    ...(schedule && {
      schedule: {
        state: schedule.state,
        deliver_at_ms: schedule.dueAtMs,
        ...known({
          fired_at_ms: schedule.firedAtMs,
          ended_at_ms: schedule.endedAtMs,
          digest_id: schedule.digestId,
          recurring: schedule.recurring,
        }),
        members: schedule.members,
      },
    }),
    streams: trace.streams,
    appended: trace.appended.map(({ stream, epoch, position: at, archived, keys, read }) => ({
      stream,
      epoch,
      position: at,
      archived,
      keys: [...keys],
      ...known({ read }),
    })),
    counts: { ...trace.counts },
    devices: trace.devices.map(deviceOf),
    ...(trace.next !== '' && { next: trace.next }),
    exceptions: trace.exceptions.flatMap(
      ({ kind, reason, tier, node, atMs, lastAtMs, stream, keys, count }) =>
        kind === 'lost'
          ? []
          : [
              {
                kind,
                reason,
                tier,
                node,
                at_ms: atMs,
                last_at_ms: lastAtMs,
                ...(stream !== '' && { stream }),
                keys: [...keys],
                count,
              },
            ],
    ),
    more_exceptions: trace.moreExceptions,
    lost_reports: trace.lostReports,
    notes: [...trace.notes],
  };
}

function deviceOf(device: TracedDevice): z.input<typeof deviceSchema> {
  const { stream, key, state, connected } = device;
  return {
    stream,
    ...known({ mid: device.mid }),
    key,
    state,
    connected,
    ...known({
      node: device.node,
      transport: device.transport,
      version: device.version,
      connected_at_ms: device.connectedAtMs,
      sent_position: device.sentPosition,
      acknowledged_position: device.acknowledgedPosition,
      by: device.by,
      last_seen_ms: device.lastSeenMs,
    }),
  };
}

/** The fields that have a value. */
function known<Fields extends object>(
  fields: Fields,
): { [Name in keyof Fields]?: Exclude<Fields[Name], undefined> } {
  return Object.fromEntries(Object.entries(fields).filter(([, value]) => value !== undefined)) as {
    [Name in keyof Fields]?: Exclude<Fields[Name], undefined>;
  };
}
