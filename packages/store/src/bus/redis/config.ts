import { z } from 'zod';

/** Configuration of the bus in Redis, section `bus.redis`. */
export const redisBusConfig = z.strictObject({
  url: z.string().default('').meta({
    description:
      'Redis that keeps the bus, as redis:// or rediss:// (TLS) with user, password and database. Empty: where `routes` says, with its sentinels or cluster.',
    secret: true,
  }),
  sentinels: z.array(z.string()).default([]).meta({
    description:
      'Sentinels as host:port; when set, their master is used in place of the host of bus.redis.url.',
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
      'Nodes of a Redis Cluster as host:port; when set, used in place of the host of bus.redis.url.',
  }),
  keyPrefix: z.string().default('').meta({
    description:
      'Put before every key of the bus. With an empty bus.redis.url, that of `routes` is put before it.',
  }),
  fsync: z.enum(['always', 'everysec', 'none']).default('everysec').meta({
    description:
      "What Redis' append-only file has to offer at least, or the start is refused: always, an OK is on the disk; everysec, a crash of the host may cost the last seconds; none, a restart of Redis may cost everything.",
    range: 'always in production without replicas',
  }),
  replicas: z.int().min(0).max(16).default(0).meta({
    description: 'Replicas that must have a record before it is answered OK (WAIT).',
    range: '1 with Sentinel or a cluster',
  }),
  replicaTimeoutMs: z.int().min(10).default(500).meta({
    description: 'How long one attempt waits for the replicas.',
    unit: 'ms',
    range: 'below the command time-out',
  }),
  commandTimeoutMs: z.int().min(50).default(2_000).meta({
    description: 'A command that takes longer has failed, or its outcome is unknown.',
    unit: 'ms',
    range: '500–5,000',
  }),
  maxPartitionBytes: z
    .int()
    .min(65_536)
    .default(64 * 1_048_576)
    .meta({
      description:
        'Bytes that a partition of a topic may keep; more are refused as overloaded until its readers have come on.',
      unit: 'bytes',
      range: "above bus.maxRecordBytes; of all partitions together below Redis' memory",
    }),
  maxPartitionRecords: z.int().min(16).max(16_000_000).default(1_000_000).meta({
    description: 'Records that a partition of a topic may keep.',
    range: '10,000–1,000,000',
  }),
  committedRetentionMs: z.int().min(0).default(60_000).meta({
    description:
      'How long records are kept that every group has committed; not while the partition is three quarters full.',
    unit: 'ms',
    range: '0–600,000',
  }),
  forgetGroupsMs: z
    .int()
    .min(60_000)
    .default(7 * 86_400_000)
    .meta({
      description:
        'A group without members is forgotten after so long: what it has not read no longer stays for it.',
      unit: 'ms',
      range: 'longer than any outage of its readers',
    }),
});

export type RedisBusConfig = z.infer<typeof redisBusConfig>;
