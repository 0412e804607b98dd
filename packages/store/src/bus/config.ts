import { z } from 'zod';

import { redisBusConfig } from './redis/config.js';

/** Configuration of the bus, section `bus`. */
export const busConfig = z.strictObject({
  adapter: z.enum(['kafka', 'redis', 'embedded']).default('kafka').meta({
    description:
      'Where pushes are made durable: Kafka, Redis Streams (what it cannot promise: docs/guarantees.md), or a file of the data folder (`halley start` only).',
    flag: 'bus',
  }),
  brokers: z
    .array(z.string())
    .min(1)
    .default(['127.0.0.1:9092'])
    .meta({ description: 'Kafka brokers to ask first, as host:port.' }),
  clientId: z
    .string()
    .default('halley')
    .meta({ description: "The name under which Kafka's logs and quotas know this process." }),
  partitions: z.int().min(1).max(4_096).default(24).meta({
    description:
      'Partitions of halley-push, which are its shards. Frozen once the topic exists: a start with another count is refused.',
    range: '12–96; several for each job',
  }),
  replication: z.int().min(0).max(16).default(0).meta({
    description:
      'Replicas of the topics that Halley creates; 0 is 3, or as many as there are brokers. With 3, two must be in sync.',
    range: '3 in production',
  }),
  saslMechanism: z
    .enum(['none', 'plain', 'scram-sha-256', 'scram-sha-512'])
    .default('none')
    .meta({ description: 'How to authenticate at Kafka.' }),
  saslUsername: z.string().default('').meta({ description: 'User for Kafka.' }),
  saslPassword: z.string().default('').meta({ description: 'Password for Kafka.', secret: true }),
  tls: z.boolean().default(false).meta({ description: 'Connect to Kafka with TLS.' }),
  tlsCaFile: z.string().default('').meta({
    description: "PEM file of the authority that signed Kafka's certificates; empty for the system's.",
  }),
  connectTimeoutMs: z.int().min(100).default(30_000).meta({
    description: 'How long a start waits for Kafka, or for the Redis that is the bus, before it fails.',
    unit: 'ms',
    range: '5,000–60,000',
  }),
  produceTimeoutMs: z.int().min(200).default(10_000).meta({
    description: 'How long a record is tried before it is answered refused or unknown.',
    unit: 'ms',
    range: '2,000–30,000',
  }),
  maxQueuedBytes: z
    .int()
    .min(1_024)
    .default(64 * 1_048_576)
    .meta({
      description: 'Bytes that may wait for the bus; more are refused as overloaded.',
      unit: 'bytes',
      range: '16–256 MiB',
    }),
  maxBatchBytes: z.int().min(1_024).default(900_000).meta({
    description: "Bytes written to a partition at once; below the brokers' message.max.bytes.",
    unit: 'bytes',
    range: '100,000–1,000,000',
  }),
  maxRecordBytes: z
    .int()
    .min(1_048_576)
    .default(4 * 1_048_576)
    .meta({
      description:
        'max.message.bytes of the topics that Halley creates: a body of 1 MiB with its targets fits.',
      unit: 'bytes',
      range: '2–8 MiB',
    }),
  lingerMs: z.int().min(0).default(0).meta({
    description: 'How long a free partition waits for more records; 0 takes what came in the same turn.',
    unit: 'ms',
    range: '0–5',
  }),
  fetchWaitMs: z.int().min(10).max(5_000).default(250).meta({
    description:
      'How long a fetch waits for a record, which is answered as soon as there is one; a rebalance, a seek and a stop take as long. An idle consumer costs as much as it fetches often.',
    unit: 'ms',
    range: '100–500',
  }),
  sessionTimeoutMs: z.int().min(1_000).default(6_000).meta({
    description:
      "A consumer that is silent so long loses its partitions; within the bounds of Kafka's brokers.",
    unit: 'ms',
    range: '6,000–30,000',
  }),
  heartbeatMs: z.int().min(50).default(500).meta({
    description: 'How often a consumer tells its group that it lives.',
    unit: 'ms',
    range: 'a tenth of the session',
  }),
  retentionMs: z
    .int()
    .min(60_000)
    .default(7 * 86_400_000)
    .meta({
      description:
        'How long records are kept, consumed or not; longer than the longest outage to be survived.',
      unit: 'ms',
      range: '1–14 days',
    }),
  committedRetentionMs: z.int().min(0).default(600_000).meta({
    description: 'Embedded bus: how long records are kept that every group has committed.',
    unit: 'ms',
    range: '0–1 day',
  }),
  maxRecords: z.int().min(1).default(1_000_000).meta({
    description: 'Embedded bus: records of a topic that are kept at most, consumed or not.',
    range: '100,000–10,000,000',
  }),
  redis: redisBusConfig.prefault({}),
});

export type BusConfig = z.infer<typeof busConfig>;
