import { HalleyError } from '@halley/protocol/error';
import { CommanderError } from 'commander';

import { commandIn, createProgram, helpPointer } from './program.js';
import { complain, note } from './terminal.js';

// A reader that goes away, as `halley tail | head -1`, ends the command; it is no fault.
process.stdout.on('error', (error: NodeJS.ErrnoException) => {
  process.exit(error.code === 'EPIPE' ? 0 : 1);
});

const program = createProgram();
try {
  await program.parseAsync(process.argv);
} catch (error) {
  // Commander has said what is wrong with the arguments, or printed what was asked for.
  if (error instanceof CommanderError) process.exitCode = error.exitCode;
  else {
    await complain(error);
    if (error instanceof HalleyError && error.code === 'invalid_argument') {
      const command = commandIn(program, program.args);
      if (command !== '') note(helpPointer(command));
    }
    process.exitCode = 1;
  }
}
