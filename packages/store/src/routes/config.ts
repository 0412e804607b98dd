import { z } from 'zod';

/** Configuration of the route store, section `routes`. */
export const routesConfig = z.strictObject({
  adapter: z
    .enum(['redis', 'embedded'])
    .default('redis')
    .meta({ description: 'Where routes are kept: Redis, or in the process (`halley start` only).' }),
  url: z.string().default('redis://127.0.0.1:6379').meta({
    description: 'Redis, as redis:// or rediss:// (TLS) with user, password and database.',
    secret: true,
  }),
  sentinels: z.array(z.string()).default([]).meta({
    description:
      'Sentinels as host:port; when set, their master is used in place of the host of the url, with the user, password, database and TLS of the url.',
  }),
  sentinelName: z
    .string()
    .default('mymaster')
    .meta({ description: 'The name by which the sentinels know the master.' }),
  sentinelPassword: z
    .string()
    .default('')
    .meta({ description: 'Password of the sentinels; empty when they ask for none.', secret: true }),
  cluster: z.array(z.string()).default([]).meta({
    description:
      'Nodes of a Redis Cluster as host:port; when set, used in place of the host of the url, with its user, password and TLS.',
  }),
  keyPrefix: z
    .string()
    .default('')
    .meta({ description: 'Put before every key, to share a Redis between environments.' }),
  leaseMs: z.int().min(100).default(60_000).meta({
    description:
      'How long a route outlives its last renewal. Logic tells its own to comets, which renew every 8 s, or four times a lease where that is sooner.',
    unit: 'ms',
    range: '20,000–300,000, the same for every logic',
  }),
  directoryTtlMs: z
    .int()
    .min(1_000)
    .default(7 * 24 * 3_600_000)
    .meta({
      description: 'How long a key is known to belong to its user after it was last connected.',
      unit: 'ms',
      range: 'the inbox retention',
    }),
  commandTimeoutMs: z
    .int()
    .min(10)
    .default(1_000)
    .meta({ description: 'A command that takes longer has failed.', unit: 'ms', range: '100–5,000' }),
});

export type RoutesConfig = z.infer<typeof routesConfig>;
