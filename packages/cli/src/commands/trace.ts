import type { TraceReply__Output } from '@halley/cluster/grpc/gen/halley/push/v1/TraceReply';
import type { Command } from 'commander';

import { wholeNumber } from '../arguments.js';
import { loadGrpc } from '../client/load-grpc.js';
import { addLogicOptions, type LogicOptions } from '../client/logic-options.js';
import { print } from '../terminal.js';
import { traceJson, traceLines } from './trace-text.js';

interface TraceOptions extends LogicOptions {
  readonly caller?: string;
  readonly devices: number;
  readonly after?: string;
  readonly json?: true;
}

const EXAMPLES = `
Examples:
  halley trace order-77
  halley trace 0199f3a0-6a51-7c0e-9d0b-1d0c5f1e8a11 --caller shop --json

A push is asked for under the name that pushed it: that of the API key, empty where none is needed.

Exit code: 0 when something is known of the push; 3 when nothing is; 1 when it could not be found out.`;

/** Nothing is known of the push. */
const UNKNOWN_EXIT = 3;

/** `halley trace`: what became of a push. */
export function registerTrace(program: Command): void {
  const command = program
    .command('trace')
    .argument('<id>', 'of the push')
    .description('tell what became of a push of the last day')
    .option('--caller <name>', 'who pushed it: an API key, goim or client; default whoever asks')
    .option('--devices <n>', 'tell of at most so many devices', wholeNumber(1, 1_000), 100)
    .option('--after <text>', 'devices behind those told before')
    .option('--json', 'print JSON');
  addLogicOptions(command)
    .addHelpText('after', EXAMPLES)
    .action(async (id: string, options: TraceOptions) => {
      process.exitCode = await trace(id, options);
    });
}

async function trace(id: string, options: TraceOptions): Promise<number> {
  const found = await ask(id, options);
  if (options.json) print(JSON.stringify(traceJson(found), undefined, 2));
  else for (const line of traceLines(found)) print(line);
  return found.state === 'TRACE_STATE_UNSPECIFIED' ? UNKNOWN_EXIT : 0;
}

async function ask(id: string, options: TraceOptions): Promise<TraceReply__Output> {
  const { withLogic, call, protos } = await loadGrpc();
  const { caller, devices: limit, after = '' } = options;
  const request = { id, limit, after, ...(caller === undefined ? {} : { caller }) };
  return withLogic(protos.halley.push.v1.LedgerService, options, (client) =>
    call(client.Trace.bind(client), request),
  );
}
