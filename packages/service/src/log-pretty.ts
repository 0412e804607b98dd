import { styleText } from 'node:util';

/** Writes pino's JSON lines for people: time, level, message, then the fields. Colours only on a terminal. */
export class PrettyStream {
  constructor(
    private readonly out: { write(text: string): unknown },
    private readonly colours: boolean,
  ) {}

  write(line: string): void {
    this.out.write(this.#format(line));
  }

  #format(line: string): string {
    let fields: Record<string, unknown>;
    try {
      fields = JSON.parse(line) as Record<string, unknown>;
    } catch {
      return line;
    }
    const { level, time, msg, err, ...rest } = fields;
    const clock = typeof time === 'string' ? time.slice(11, 23) : '';
    const pairs = Object.entries(rest).map(([name, value]) => this.#dim(`${name}=${text(value)}`));
    const head = [this.#dim(clock), this.#level(text(level)), text(msg ?? '')];
    return `${[...head, ...pairs, ...this.#error(err)].filter(Boolean).join(' ')}\n`;
  }

  #error(err: unknown): string[] {
    if (typeof err !== 'object' || err === null) return err === undefined ? [] : [text(err)];
    const { message, stack } = err as { message?: string; stack?: string };
    return [`— ${message ?? text(err)}`, stack ? `\n${stack.split('\n').slice(1).join('\n')}` : ''];
  }

  #level(level: string): string {
    const padded = level.padEnd(5);
    if (!this.colours) return padded;
    switch (level) {
      case 'error':
      case 'fatal':
        return styleText('red', padded);
      case 'warn':
        return styleText('yellow', padded);
      case 'info':
        return styleText('green', padded);
      default:
        return styleText('gray', padded);
    }
  }

  #dim(value: string): string {
    return this.colours && value ? styleText('gray', value) : value;
  }
}

function text(value: unknown): string {
  return typeof value === 'string' ? value : JSON.stringify(value);
}
