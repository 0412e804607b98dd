import { type Command, Option } from 'commander';

import { hostAndPort } from '../arguments.js';

/** Options of every command that calls a logic over gRPC. */
export interface LogicOptions {
  readonly address: string;
  readonly apiKey?: string;
  readonly ca?: string;
  readonly serverName?: string;
}

/** Adds the options of {@link LogicOptions}. */
export function addLogicOptions(command: Command): Command {
  return command
    .addOption(
      new Option('--address <host:port>', 'gRPC address of a logic')
        .argParser(hostAndPort)
        .default('127.0.0.1:3119'),
    )
    .addOption(new Option('--api-key <key>', 'API key, where logic asks for one').env('HALLEY_API_KEY'))
    .option('--ca <file>', 'use TLS, trusting the certificates (PEM) in this file')
    .option('--server-name <name>', 'the name that the certificate must carry; default the host');
}
