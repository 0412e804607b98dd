import { CommanderError } from 'commander';

import { createProgram } from './program.js';
import { complain } from './terminal.js';

// A reader that goes away, as `halley tail | head -1`, ends the command; it is no fault.
process.stdout.on('error', (error: NodeJS.ErrnoException) => {
  process.exit(error.code === 'EPIPE' ? 0 : 1);
});

try {
  await createProgram().parseAsync(process.argv);
} catch (error) {
  // Commander has said what is wrong with the arguments, or printed what was asked for.
  if (error instanceof CommanderError) process.exitCode = error.exitCode;
  else {
    await complain(error);
    process.exitCode = 1;
  }
}
