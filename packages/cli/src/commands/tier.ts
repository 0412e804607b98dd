import { splitArguments } from '@halley/service/command-line';
import type { Command } from 'commander';
import type { z } from 'zod';

import { joinArguments } from '../cluster-file.js';
import { takeInstances } from '../instances/arguments.js';

interface TierModule {
  readonly main: (argv: string[]) => Promise<void>;
  readonly schema: z.ZodObject;
}

const TIERS: Readonly<
  Record<'comet' | 'logic' | 'job', { summary: string; load: () => Promise<TierModule> }>
> = {
  comet: {
    summary: 'run one comet: holds client connections',
    load: async () => {
      const [{ main }, { cometConfig: schema }, { requireDemoPages }] = await Promise.all([
        import('@halley/comet/main'),
        import('@halley/comet/config'),
        import('../demo-pages.js'),
      ]);
      return { main: (argv) => main(argv, { demo: requireDemoPages }), schema };
    },
  },
  logic: {
    summary: 'run one logic: authenticates, answers business services',
    load: async () => {
      const [{ main }, { logicConfig: schema }] = await Promise.all([
        import('@halley/logic/main'),
        import('@halley/logic/config'),
      ]);
      return { main, schema };
    },
  },
  job: {
    summary: 'run one job: reads the bus and delivers to the comets',
    load: async () => {
      const [{ main }, { jobConfig: schema }] = await Promise.all([
        import('@halley/job/main'),
        import('@halley/job/config'),
      ]);
      return { main, schema };
    },
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
      const { main, schema } = await TIERS[tier].load();
      const { argv: own, count, isInstance } = takeInstances(argv);
      const joined = await joinArguments(tier, own);
      if (count !== undefined && splitArguments(own).mode === 'run') {
        const { runInstances } = await import('../instances/run.js');
        return runInstances({ tier, count, argv: own, joinedArgv: joined.argv, schema });
      }
      if (isInstance) (await import('../instances/run.js')).endWithParent();
      if (joined.file !== undefined) {
        const { announceJoined } = await import('../cluster/announce.js');
        await announceJoined(joined.file, tier, joined.argv, schema);
      }
      await main(joined.argv);
    });
}
