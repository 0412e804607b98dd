import { pino, type Logger as PinoLogger } from 'pino';

/** Structured log, JSON lines on standard error. Never pass it a token, a body or a cookie. */
export type Logger = PinoLogger;

export interface LogOptions {
  /** trace, debug, info, warn, error or silent. */
  readonly level: string;
  /** Fields on every line, as tier and node. */
  readonly base?: Record<string, unknown>;
}

export function createLogger(options: LogOptions): Logger {
  return pino(
    {
      level: options.level,
      base: options.base ?? {},
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
    pino.destination({ dest: 2, sync: false }),
  );
}

/** For tests and for the embedded start before the level is known. */
export function silentLogger(): Logger {
  return pino({ level: 'silent' });
}
