import type { Command } from 'commander';

import { joinArguments } from '../cluster-file.js';

type Main = (argv: string[]) => Promise<void>;

const TIERS: Readonly<Record<'comet' | 'logic' | 'job', { summary: string; load: () => Promise<Main> }>> = {
  comet: {
    summary: 'run one comet: holds client connections',
    load: async () => (await import('@halley/comet/main')).main,
  },
  logic: {
    summary: 'run one logic: authenticates, answers business services',
    load: async () => (await import('@halley/logic/main')).main,
  },
  job: {
    summary: 'run one job: reads the bus and delivers to the comets',
    load: async () => (await import('@halley/job/main')).main,
  },
};

/** `halley comet`, `halley logic`, `halley job`: one tier, for production. Its arguments are the tier's own. */
export function registerTier(program: Command, tier: keyof typeof TIERS): void {
  program
    .command(tier)
    .description(TIERS[tier].summary)
    .argument('[options...]', 'see --help')
    .helpOption(false)
    .allowUnknownOption()
    .passThroughOptions()
    .action(async (argv: string[]) => {
      const main = await TIERS[tier].load();
      await main(await joinArguments(tier, argv));
    });
}
