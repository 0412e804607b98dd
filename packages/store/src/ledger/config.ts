import { z } from 'zod';

const DAY_MS = 24 * 3_600_000;

/** Configuration of the ledger where it is written to the database, section `ledger`. */
export const ledgerConfig = z.object({
  maxPerSecond: z.int().min(1).max(10_000).default(500).meta({
    description:
      'Things that went wrong with pushes (refused, expired, dropped, put aside) that a node keeps for `halley trace` each second. Those of one push for one reason count once. More are counted as lost.',
    range: '100–2,000',
  }),
  maxWaiting: z.int().min(100).max(1_000_000).default(10_000).meta({
    description: 'Of these, how many may wait to be written while that takes long; more are counted as lost.',
    range: '1,000–50,000',
  }),
});

/** The same where the ledger is also looked after. */
export const ledgerKeeperConfig = ledgerConfig.extend({
  retentionMs: z
    .int()
    .min(DAY_MS)
    .default(3 * DAY_MS)
    .meta({
      description: 'How long what went wrong with pushes is kept.',
      unit: 'ms',
      range: '1–14 days',
    }),
  maxRows: z.int().min(1_000).default(2_000_000).meta({
    description: 'How many rows of it are kept at most; of more, the oldest go.',
    range: '100,000–10,000,000',
  }),
});
