import { z } from 'zod';

import type { Retention } from './archive.js';

const DAY_MS = 24 * 3_600_000;

/** Floors and deletions advance in steps of this: a stream is not rewritten for every single entry that ages. */
const AGE_STEP_MS = 60_000;

/** Configuration of the archive, section `archive`. */
export const archiveConfig = z.strictObject({
  adapter: z.enum(['mariadb', 'embedded']).default('mariadb').meta({
    description:
      'Where archived messages are kept: MariaDB (10.6 or newer) or MySQL (8.0 or newer), or a file of the data folder (`halley start` only).',
  }),
  url: z.string().default('mysql://root@127.0.0.1:3306/halley').meta({
    description:
      'MariaDB or MySQL as mysql://USER:PASSWORD@HOST:PORT/DATABASE. The database exists; its tables are made and changed at start. Its max_allowed_packet is at least 8 MiB and three times push.maxBodyBytes.',
    secret: true,
  }),
  tls: z.boolean().default(false).meta({ description: 'Connect to the database with TLS.' }),
  tlsCaFile: z.string().default('').meta({
    description:
      "PEM file of the authority that signed the database's certificate; empty for the system's ones.",
  }),
  poolSize: z.int().min(1).max(1_000).default(10).meta({
    description: 'Connections to the database that a node opens at most.',
    range: '5–50; all nodes together below the max_connections of the database',
  }),
  callTimeoutMs: z.int().min(50).default(5_000).meta({
    description: 'A read or write that takes longer, its wait for a connection included, has failed.',
    unit: 'ms',
    range: '1,000–30,000',
  }),
  resumeMaxAgeMs: z
    .int()
    .min(60_000)
    .default(7 * DAY_MS)
    .meta({
      description:
        'How long after its acceptance a message can be resumed from; a device that was away longer is told of the gap.',
      unit: 'ms',
      range: '1–30 days',
    }),
  resumeMaxEntries: z.int().min(1).default(1_000).meta({
    description: 'The newest messages of a stream that can be resumed from.',
    unit: 'messages',
    range: '100–10,000',
  }),
  historyMaxAgeMs: z
    .int()
    .min(60_000)
    .default(30 * DAY_MS)
    .meta({
      description: 'How long after its acceptance a message stays in the history.',
      unit: 'ms',
      range: 'at least archive.resumeMaxAgeMs; what is shorter counts as that',
    }),
  historyMaxEntries: z.int().min(1).default(100_000).meta({
    description: 'The newest messages of a stream that stay in its history.',
    unit: 'messages',
    range: 'at least archive.resumeMaxEntries; what is less counts as that',
  }),
  retainEveryMs: z.int().min(100).default(1_000).meta({
    description: 'How often a node looks through a part of the archive for what retention lets go.',
    unit: 'ms',
    range: '500–10,000',
  }),
});

export type ArchiveConfig = z.infer<typeof archiveConfig>;

/** What the archive keeps as of now, for {@link Archive.retain}: whole minutes, and history no shorter than resume. */
export function retentionAt(config: ArchiveConfig, nowMs: number): Retention {
  const { resumeMaxAgeMs, resumeMaxEntries, historyMaxAgeMs, historyMaxEntries } = config;
  const since = (ageMs: number): number => Math.floor((nowMs - ageMs) / AGE_STEP_MS) * AGE_STEP_MS;
  return {
    resume: { sinceMs: since(resumeMaxAgeMs), maxEntries: resumeMaxEntries },
    history: {
      sinceMs: since(Math.max(historyMaxAgeMs, resumeMaxAgeMs)),
      maxEntries: Math.max(historyMaxEntries, resumeMaxEntries),
    },
  };
}
