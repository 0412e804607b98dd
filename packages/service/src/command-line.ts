import type { z } from 'zod';

import { type ConfigKey, describeConfig, loadConfig, printConfig } from './config.js';
import { explainStartFailure } from './start-failure.js';

export interface CommandLine<Schema extends z.ZodObject> {
  /** As `halley comet`. */
  readonly command: string;
  /** One sentence for --help. */
  readonly summary: string;
  /** More lines below Options, of what is taken before the arguments come here. */
  readonly options?: readonly string[];
  readonly schema: Schema;
  readonly argv: readonly string[];
  readonly env: NodeJS.ProcessEnv;
  /** Checks between keys; throws `bad_config`. */
  readonly check?: (config: z.output<Schema>) => void;
}

/** Where the command line writes; replaced in tests. */
export interface Output {
  readonly stdout: { write(text: string): unknown };
  readonly stderr: { write(text: string): unknown };
}

/**
 * Options of a process that is all configuration: `--config FILE`, `--help`, `--check-config`, `--print-config`, and
 * every key as a flag. Answers the configuration to run with, or the exit code when there is nothing to run.
 */
export async function readCommandLine<Schema extends z.ZodObject>(
  line: CommandLine<Schema>,
  output: Output = process,
): Promise<{ readonly config: z.output<Schema> } | { readonly exit: number }> {
  const { file, mode, flags } = splitArguments(line.argv);
  if (mode === 'help') {
    output.stdout.write(configHelp(line.command, line.summary, describeConfig(line.schema), line.options));
    return { exit: 0 };
  }
  let config: z.output<Schema>;
  try {
    config = loadConfig(line.schema, {
      file: file ?? (line.env['HALLEY_CONFIG'] || undefined),
      env: line.env,
      flags,
    });
    line.check?.(config);
  } catch (error) {
    output.stderr.write(`halley: ${await explainStartFailure(error)}\n`);
    return { exit: 1 };
  }
  if (mode === 'check') {
    output.stdout.write('The configuration is right.\n');
    return { exit: 0 };
  }
  if (mode === 'print') {
    output.stdout.write(printConfig(config, line.schema));
    return { exit: 0 };
  }
  return { config };
}

export interface SplitArguments {
  readonly mode: 'run' | 'help' | 'check' | 'print';
  readonly file: string | undefined;
  /** What is left: the keys of the configuration. */
  readonly flags: readonly string[];
}

/** Takes the options that are no keys of the configuration out of the arguments. */
export function splitArguments(argv: readonly string[]): SplitArguments {
  let mode: SplitArguments['mode'] = 'run';
  let file: string | undefined;
  const flags: string[] = [];
  for (let index = 0; index < argv.length; index += 1) {
    const token = argv[index] ?? '';
    if (token === '--help' || token === '-h') mode = 'help';
    else if (token === '--check-config') mode = 'check';
    else if (token === '--print-config') mode = 'print';
    else if (token.startsWith('--config=')) file = token.slice('--config='.length);
    else if (token === '--config') {
      index += 1;
      file = argv[index] ?? '';
    } else flags.push(token);
  }
  return { mode, file, flags };
}

/** The text of --help: the options, then every key with its default. */
export function configHelp(
  command: string,
  summary: string,
  keys: readonly ConfigKey[],
  options: readonly string[] = [],
): string {
  const lines = [
    `Usage: ${command} [options] [--KEY VALUE …]`,
    '',
    summary,
    '',
    'Options:',
    '  --config FILE    read this YAML file (also HALLEY_CONFIG)',
    '  --check-config   check the configuration and exit',
    '  --print-config   print the configuration in effect, secrets hidden, and exit',
    ...options.map((line) => `  ${line}`),
    '  -h, --help       print this and exit',
    '',
    'Keys, from the file, the environment (HALLEY_TCP_PORT for tcp.port) and flags, the later winning:',
    ...keyLines(keys),
    '',
    'docs/config.md describes them all.',
    '',
  ];
  return lines.join('\n');
}

/** One line a key: its flags and what it is for. */
export function keyLines(keys: readonly ConfigKey[]): string[] {
  const rows = keys.map((key) => ({ flags: [key.flag, ...key.flagAliases].join(', '), key }));
  const width = Math.min(44, Math.max(...rows.map((row) => row.flags.length)));
  return rows.map(({ flags, key }) => {
    const fallback =
      key.defaultText === undefined || key.defaultText === '""' || key.secret ? '' : ` [${key.defaultText}]`;
    return `  ${flags.padEnd(width)}  ${key.description}${fallback}`;
  });
}
