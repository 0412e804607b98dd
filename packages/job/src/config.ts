import { clusterConfig } from '@halley/cluster/grpc/config';
import { registryConfig } from '@halley/cluster/registry/config';
import { logConfig } from '@halley/service/log';
import { nodeConfig } from '@halley/service/node-config';
import { opsConfig } from '@halley/service/ops-config';
import { archiveConfig } from '@halley/store/archive/config';
import { busConfig } from '@halley/store/bus/config';
import { eventsConfig } from '@halley/store/events/config';
import { ledgerKeeperConfig } from '@halley/store/ledger/config';
import { routesConfig } from '@halley/store/routes/config';
import { streamsConfig } from '@halley/store/streams/config';
import { z } from 'zod';

import { webhookConfig } from './webhook/config.js';

const consumeConfig = z.object({
  group: z.string().min(1).default('halley-job').meta({
    description: 'Consumer group of halley-push. Another name delivers everything a second time.',
  }),
  commitIntervalMs: z.int().min(10).default(250).meta({
    description: 'How often what is done is committed; a job that takes over repeats about as much.',
    unit: 'ms',
    range: '100–1,000',
  }),
  maxUndoneRecords: z.int().min(1).default(100_000).meta({
    description: 'Records of a partition that may be under way; then it is read no further.',
    range: '10,000–500,000',
  }),
  maxUndoneBytes: z
    .int()
    .min(1)
    .default(64 * 1_048_576)
    .meta({
      description: 'Bytes of records of a partition that may be under way; then it is read no further.',
      unit: 'bytes',
      range: '16–256 MiB; above link.maxQueuedBytes',
    }),
  probeIntervalMs: z.int().min(10).default(1_000).meta({
    description:
      'A partition that nothing came from for this long is looked after: whether the streams still have what was taken in.',
    unit: 'ms',
    range: '500–5,000',
  }),
  archiveJoinMs: z.int().min(0).default(500).meta({
    description:
      'Messages that come within this time, to whatever partition, are written to the archive together. The history is that much behind, and a job that takes over repeats that much; devices that catch up miss nothing, as the streams still hold it. Each half of it doubles what the archive costs at a low load.',
    unit: 'ms',
    range: '50–2,000',
  }),
  archiveIdleMs: z.int().min(10).default(1_000).meta({
    description:
      'When only what is not archived came, as messages to rooms, a job that takes over repeats about as much of it.',
    unit: 'ms',
    range: '200–5,000',
  }),
  archiveEntries: z.int().min(1).max(20_000).default(4_000).meta({
    description:
      'Messages of all partitions that are written to the archive in one transaction at most; after a transaction that failed less are tried.',
    range: '1,000–10,000; well below what the database takes in a fifth of archive.callTimeoutMs',
  }),
  lagIntervalMs: z.int().min(100).default(5_000).meta({
    description: 'How often the lag is measured, for the metrics.',
    unit: 'ms',
    range: '1,000–30,000',
  }),
  drainTimeoutMs: z.int().min(0).default(3_000).meta({
    description: 'How long a stopping job waits for what is in flight before it leaves its group.',
    unit: 'ms',
    range: '1,000–5,000',
  }),
});

const ingressConfig = z.object({
  enabled: z
    .boolean()
    .default(true)
    .meta({ description: "Whether goim's topic, goim-push-topic, is taken in." }),
  group: z.string().min(1).default('goim-push-group-job').meta({
    description: "Consumer group of goim's topic; for a trial beside goim, take another than goim's.",
  }),
  durableRooms: z.array(z.string().min(1)).max(1_000).default([]).meta({
    description:
      "Patterns of rooms whose messages from goim's topic are kept: the same as push.durableRooms of logic.",
    range: '0–100 patterns',
  }),
});

const scheduleConfig = z.object({
  pollMs: z.int().min(10).max(1_000).default(200).meta({
    description:
      'How often a job looks for scheduled pushes that are due, at least; it knows when the next one is.',
    unit: 'ms',
    range: '50–250',
  }),
  leaseMs: z.int().min(300).default(1_200).meta({
    description:
      'A job that is killed while it writes scheduled pushes is replaced after so long; one that lives renews this.',
    unit: 'ms',
    range: '1,000–5,000',
  }),
  maxRows: z.int().min(1).max(1_000).default(200).meta({
    description: 'Scheduled pushes that are written at once.',
    range: '50–500',
  }),
  maxBytes: z
    .int()
    .min(1)
    .default(4 * 1_048_576)
    .meta({
      description: 'Their bytes; one is written in any case.',
      unit: 'bytes',
      range: '1–16 MiB; below bus.maxQueuedBytes',
    }),
  keepMs: z
    .int()
    .min(24 * 3_600_000)
    .default(24 * 3_600_000)
    .meta({
      description:
        'How long what was fired or cancelled is kept: to tell who asks for it, and that its id is taken.',
      unit: 'ms',
      range: '1–7 days',
    }),
});

const bulkConfig = z.object({
  group: z.string().min(1).default('halley-job-bulk').meta({
    description: 'Consumer group of halley-bulk. Another name delivers all bulk pushes a second time.',
  }),
  maxBacklogRecords: z.int().min(1).default(2_000).meta({
    description:
      'Bulk pushes wait while so many records of their partition of halley-push are not committed. What is pushed normally waits behind as many at most.',
    range: '500–10,000',
  }),
  maxBacklogAgeMs: z.int().min(1).default(1_000).meta({
    description:
      'They also wait while a push of that partition, where the same job reads it, is not done for so long.',
    unit: 'ms',
    range: '500–5,000',
  }),
  maxPerSecond: z.int().min(1).default(2_000).meta({
    description: 'Bulk pushes a second that are moved to a partition of halley-push.',
    range: '100–20,000',
  }),
  turnMs: z.int().min(5).default(100).meta({
    description: 'How often is looked whether more may be moved.',
    unit: 'ms',
    range: '50–1,000',
  }),
});

const deadConfig = z.object({
  group: z.string().min(1).default('halley-job-dead').meta({
    description: 'Consumer group of halley-dead, which copies it to where dead letters are listed from.',
  }),
  maxAgeMs: z
    .int()
    .min(1_000)
    .default(30 * 86_400_000)
    .meta({
      description: 'How long dead letters are listed.',
      unit: 'ms',
      range: '7–90 days',
    }),
  maxLetters: z.int().min(1).default(100_000).meta({
    description: 'Dead letters that are listed at most; the oldest go.',
    range: '1,000–1,000,000',
  }),
  retainEveryMs: z.int().min(100).default(600_000).meta({
    description: 'About how often dead letters that are too old or too many are removed.',
    unit: 'ms',
    range: '60,000–3,600,000',
  }),
});

const linkConfig = z.object({
  maxQueuedBytes: z
    .int()
    .min(1_024)
    .default(32 * 1_048_576)
    .meta({
      description:
        'Bytes that may be queued or unacknowledged on the way to one comet; then the newest are dropped for it, or left to be read from their streams.',
      unit: 'bytes',
      range: '8–256 MiB',
    }),
  silentAfterMs: z.int().min(100).default(5_000).meta({
    description: 'A comet that acknowledges nothing for this long is not waited for until it answers.',
    unit: 'ms',
    range: '2,000–10,000',
  }),
  maxStallMs: z.int().min(0).default(1_000).meta({
    description: 'How long all wait for a comet whose queue is half full before they go on without it.',
    unit: 'ms',
    range: '200–3,000',
  }),
  maxBatchDeliveries: z.int().min(1).default(256).meta({
    description: 'Deliveries in one message to a comet.',
    range: '64–1,024',
  }),
  maxBatchBytes: z.int().min(1_024).default(262_144).meta({
    description: 'Bytes of one message to a comet; a larger delivery goes alone.',
    unit: 'bytes',
    range: '64 KiB–1 MiB',
  }),
  maxHintBodyBytes: z.int().min(0).default(16_384).meta({
    description:
      'A larger body of a message to users or keys is not sent along: the comet reads it from the stream when it is its turn.',
    unit: 'bytes',
    range: '1–64 KiB',
  }),
  welcomeTimeoutMs: z.int().min(100).default(2_000).meta({
    description: 'A comet that does not answer a new stream for this long is tried again.',
    unit: 'ms',
    range: '1,000–5,000',
  }),
  maxReconnectMs: z.int().min(10).default(1_000).meta({
    description: 'Longest pause before a broken stream is tried again.',
    unit: 'ms',
    range: '200–2,000',
  }),
  unknownCometGraceMs: z.int().min(0).default(1_000).meta({
    description: 'How long a push waits for a comet that a route names and that the registry has not shown.',
    unit: 'ms',
    range: '500–3,000',
  }),
});

/** Everything that a job is configured with. */
export const jobConfig = z.object({
  node: nodeConfig,
  ops: opsConfig(3124),
  consume: consumeConfig,
  ingress: ingressConfig,
  schedule: scheduleConfig,
  bulk: bulkConfig,
  dead: deadConfig,
  link: linkConfig,
  events: eventsConfig,
  webhook: webhookConfig,
  ledger: ledgerKeeperConfig,
  cluster: clusterConfig,
  registry: registryConfig,
  routes: routesConfig,
  streams: streamsConfig,
  archive: archiveConfig,
  bus: busConfig,
  log: logConfig,
});

export type JobConfig = z.output<typeof jobConfig>;
