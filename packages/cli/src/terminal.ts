import { explainStartFailure } from '@halley/service/start-failure';
import pc from 'picocolors';

/** Colours of standard output, or none when it is no terminal. */
export const colours = pc.createColors(process.stdout.isTTY === true && pc.isColorSupported);

/** Prints one line on standard output. */
export function print(line: string): void {
  process.stdout.write(`${line}\n`);
}

/** Prints one line on standard error, for what is not the result. */
export function note(line: string): void {
  process.stderr.write(`${line}\n`);
}

/** Prints an error as one line on standard error. */
export async function complain(error: unknown): Promise<void> {
  note(`halley: ${await explainStartFailure(error)}`);
}

/** Columns as wide as their widest cell, two spaces between them. */
export function table(head: readonly string[], rows: readonly (readonly string[])[]): string[] {
  const widths = head.map((title, column) =>
    Math.max(title.length, ...rows.map((row) => row[column]?.length ?? 0)),
  );
  const line = (cells: readonly string[]): string =>
    cells
      .map((cell, column) => cell.padEnd(widths[column] ?? 0))
      .join('  ')
      .trimEnd();
  return [colours.bold(line(head)), ...rows.map(line)];
}
