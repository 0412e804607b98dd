import type { Command } from 'commander';

/** `halley start`: all tiers in one process, with nothing installed. */
export function registerStart(program: Command): void {
  program
    .command('start')
    .description('run all tiers in one process, with nothing installed')
    .argument('[options...]', 'see --help')
    .helpOption(false)
    .allowUnknownOption()
    .passThroughOptions()
    .action(async (argv: string[]) => {
      // Loaded when it is needed: the other commands need no tier.
      const { start } = await import('../start/start.js');
      await start(argv);
    });
}
