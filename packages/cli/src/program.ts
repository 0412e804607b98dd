import { Command } from 'commander';

import { registerBench } from './commands/bench.js';
import { registerCheck } from './commands/check.js';
import { registerCluster } from './commands/cluster.js';
import { registerNodes } from './commands/nodes.js';
import { registerDead } from './commands/dead.js';
import { registerPush } from './commands/push.js';
import { registerSchedule } from './commands/schedule.js';
import { registerStart } from './commands/start.js';
import { registerTail } from './commands/tail.js';
import { registerTrace } from './commands/trace.js';
import { registerTier } from './commands/tier.js';
import { VERSION } from '@halley/service/version';

/** The `halley` command with all its subcommands. */
export function createProgram(): Command {
  const program = new Command('halley')
    .description('Halley: a goim-compatible, multi-tier push cluster.')
    .version(VERSION, '-V, --version', 'print the version')
    .helpOption('-h, --help', 'print this')
    .helpCommand(false)
    .showHelpAfterError('(halley --help lists the commands)')
    .configureOutput({ outputError: (text, write) => write(text.replace(/^error: /, 'halley: ')) })
    .enablePositionalOptions()
    .exitOverride()
    .addHelpText('after', '\nhalley COMMAND --help says more about each. The first steps are in README.md.');

  program.commandsGroup('Run it:');
  registerStart(program);
  registerCluster(program);
  registerTier(program, 'comet');
  registerTier(program, 'logic');
  registerTier(program, 'job');
  program.commandsGroup('Use it:');
  registerPush(program);
  registerSchedule(program);
  registerTail(program);
  registerTrace(program);
  registerNodes(program);
  registerDead(program);
  registerCheck(program);
  registerBench(program);
  for (const command of program.commands) pointToHelp(command, command.name());
  return program;
}

/** Errors of a command and of those below it tell where their options are listed. */
function pointToHelp(command: Command, name: string): void {
  command.showHelpAfterError(helpPointer(name));
  for (const below of command.commands) pointToHelp(below, `${name} ${below.name()}`);
}

/** The command that arguments name, as `schedule put`; empty when they name none. */
export function commandIn(program: Command, [name, ...rest]: readonly string[]): string {
  const found = program.commands.find((command) => command.name() === name);
  return found ? `${found.name()} ${commandIn(found, rest)}`.trim() : '';
}

/** Where the options of a command are told, to stand below an error. */
export function helpPointer(command: string): string {
  return `(halley ${command} --help lists its options)`;
}
