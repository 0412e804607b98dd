import { z } from 'zod';

/** What can be told of users and devices, as the kinds of halley.push.v1.Event are named. */
export const EVENT_KINDS = [
  'connected',
  'disconnected',
  'message_in',
  'delivered',
  'read',
  'offline',
] as const;

export type EventKind = (typeof EVENT_KINDS)[number];

/** Configuration of the business's events, section `events`. */
export const eventsConfig = z.object({
  kinds: z.array(z.enum(EVENT_KINDS)).default([]).meta({
    description:
      'Kinds of events that are written to halley-events: connected, disconnected, message_in, delivered, read, offline. The same for every logic and job. What each costs: docs/hooks.md.',
  }),
  maxBodyBytes: z.int().min(0).max(65_536).default(4_096).meta({
    description: 'A larger body of a message is left out of its event.',
    unit: 'bytes',
    range: '0–16 KiB',
  }),
  maxQueued: z.int().min(1).max(1_000_000).default(20_000).meta({
    description:
      'Events that may wait for the bus. Of more, the newest are lost and counted; those of kind offline never are: their pushes wait with them.',
    range: '5,000–100,000',
  }),
});

export type EventsConfig = z.infer<typeof eventsConfig>;
