import { type DestinationStream, pino, type Logger as PinoLogger } from 'pino';
import { z } from 'zod';

import { PrettyStream } from './log-pretty.js';

/** The section `log`. */
export const logConfig = z.object({
  level: z
    .enum(['trace', 'debug', 'info', 'warn', 'error', 'silent'])
    .default('info')
    .meta({ description: 'The least important lines that are written.' }),
  format: z
    .enum(['auto', 'json', 'text'])
    .default('auto')
    .meta({ description: 'How lines look: json for machines, text for people; auto is text on a terminal.' }),
  instance: z.string().max(100).default('').meta({
    description:
      'Said on every line as `instance`, to tell the processes of a host apart. `--instances` sets it for each.',
  }),
});

export type LogConfig = z.output<typeof logConfig>;

/** Structured log, JSON lines on standard error. Never pass it a token, a body or a cookie. */
export type Logger = PinoLogger;

export interface LogOptions {
  /** trace, debug, info, warn, error or silent. */
  readonly level: string;
  /** json, text, or (default) auto: text when standard error is a terminal. */
  readonly format?: 'auto' | 'json' | 'text';
  /** Which of a host's processes it is, on every line; empty is not said. */
  readonly instance?: string;
  /** Fields on every line, as tier and node. */
  readonly base?: Record<string, unknown>;
}

export function createLogger(options: LogOptions): Logger {
  return pino(
    {
      level: options.level,
      base: { ...options.base, ...(options.instance ? { instance: options.instance } : {}) },
      timestamp: pino.stdTimeFunctions.isoTime,
      formatters: { level: (label) => ({ level: label }) },
      redact: {
        paths: [
          'token',
          'body',
          'cookie',
          'authorization',
          '*.token',
          '*.body',
          '*.cookie',
          '*.authorization',
        ],
        remove: true,
      },
    },
    destination(options.format ?? 'auto'),
  );
}

/** For tests and for the embedded start before the level is known. */
export function silentLogger(): Logger {
  return pino({ level: 'silent' });
}

function destination(format: 'auto' | 'json' | 'text'): DestinationStream {
  const terminal = process.stderr.isTTY === true;
  if (format === 'text' || (format === 'auto' && terminal)) return new PrettyStream(process.stderr, terminal);
  return pino.destination({ dest: 2, sync: false });
}
