import { HalleyError } from '@halley/protocol/error';
import { EVENT_KINDS, type EventKind } from '@halley/store/events/config';
import { z } from 'zod';

import { secretOf } from '@halley/service/webhook-signature';
import { checkHookUrl } from '@halley/service/hook-url';

/** What an endpoint can be told: the events, and what clients send to the business. */
export const WEBHOOK_KINDS = [...EVENT_KINDS, 'upstream'] as const;

export type WebhookKind = (typeof WEBHOOK_KINDS)[number];

const endpoint = z.strictObject({
  name: z
    .string()
    .regex(/^[a-zA-Z0-9._-]{1,64}$/, 'must be 1 to 64 of a-z, A-Z, 0-9, dot, dash and underscore'),
  url: z.string().min(1),
  secrets: z.array(z.string().min(1)).min(1).max(4).meta({ secret: true }),
  kinds: z.array(z.enum(WEBHOOK_KINDS)).min(1),
});

/** Configuration of webhooks, section `webhook`. */
export const webhookConfig = z.object({
  endpoints: z.array(endpoint).max(32).default([]).meta({
    description:
      'Who is told of events by HTTP: `name` (names the consumer group halley-webhook-NAME, so it is not to change), `url`, `secrets` (to sign with, as `whsec_` and base64; a second one while they are changed), and `kinds` (those of events.kinds, and upstream: what clients send to the business).',
  }),
  allowHttp: z.boolean().default(false).meta({
    description:
      'Endpoints may have http:// also outside loopback: whoever is on the way can read the events.',
  }),
  timeoutMs: z.int().min(100).max(120_000).default(15_000).meta({
    description: 'How long an endpoint may take to answer; then the event is sent again.',
    unit: 'ms',
    range: '5,000–30,000',
  }),
  concurrency: z.int().min(1).max(1_000).default(16).meta({
    description: 'Requests of a job to one endpoint at once, each for another user.',
    range: '4–64',
  }),
  maxUndone: z.int().min(1).max(100_000).default(1_000).meta({
    description:
      'Events of a partition that are read ahead of the oldest one that an endpoint has not taken.',
    range: '200–5,000',
  }),
  baseBackoffMs: z.int().min(1).default(500).meta({
    description:
      'About how long after the first failure an event is sent again; then twice as long each time.',
    unit: 'ms',
    range: '200–5,000',
  }),
  maxBackoffMs: z.int().min(1).default(300_000).meta({
    description: 'The longest pause between two attempts.',
    unit: 'ms',
    range: '60,000–900,000',
  }),
  maxAgeMs: z
    .int()
    .min(1_000)
    .default(24 * 3_600_000)
    .meta({
      description: 'How long an event is tried; then it is put aside in halley-dead.',
      unit: 'ms',
      range: '1–72 hours; below bus.retentionMs',
    }),
  commitIntervalMs: z.int().min(10).default(250).meta({
    description:
      'How often what endpoints have taken is committed; after a job was killed about as much is sent again.',
    unit: 'ms',
    range: '100–1,000',
  }),
});

export type WebhookConfig = z.infer<typeof webhookConfig>;
export type WebhookEndpoint = WebhookConfig['endpoints'][number];

/** Checks what one key alone cannot tell. Throws `bad_config` in one line that names the endpoint, never its secrets. */
export function checkWebhooks({ endpoints, allowHttp }: WebhookConfig, written: readonly EventKind[]): void {
  const names = new Set<string>();
  for (const [index, { name, url, secrets, kinds }] of endpoints.entries()) {
    const at = `webhook.endpoints[${index}]`;
    if (names.has(name)) throw bad(`${at}.name: ${name} is taken by another endpoint`);
    names.add(name);
    checkHookUrl(url, `${at}.url`, allowHttp ? undefined : 'webhook.allowHttp');
    for (const [which, secret] of secrets.entries())
      if (!secretOf(secret))
        throw bad(
          `${at}.secrets[${which}] is not whsec_ and 24 to 64 bytes in base64: openssl rand -base64 32`,
        );
    const missing = kinds.find((kind) => kind !== 'upstream' && !written.includes(kind));
    if (missing) throw bad(`${at}.kinds: ${missing} is not written: add it to events.kinds, of logic too`);
  }
}

function bad(message: string): HalleyError {
  return new HalleyError('bad_config', message);
}
