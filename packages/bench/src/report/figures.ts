/** Numbers as people read them. */

/** With commas, and as many digits as mean something. */
export function count(value: number): string {
  return Math.round(value).toLocaleString('en-US');
}

/** A short time of milliseconds: `0.42 ms`, `12.3 ms`, `1.52 s`. */
export function shortTime(ms: number): string {
  if (ms >= 1_000) return `${(ms / 1_000).toFixed(2)} s`;
  return `${ms.toFixed(ms >= 100 ? 0 : ms >= 10 ? 1 : 2)} ms`;
}

/** Processor time of one thing: `1.52 µs`, `340 µs`, `12.5 ms`. */
export function micros(value: number): string {
  if (value >= 10_000) return shortTime(value / 1_000);
  return `${value.toFixed(value >= 100 ? 0 : value >= 10 ? 1 : 2)} µs`;
}

export function percentText(value: number): string {
  return `${value.toFixed(value >= 10 ? 0 : 1)} %`;
}

/** `4.2 KB`, `96 MB`. */
export function bytesText(bytes: number): string {
  const abs = Math.abs(bytes);
  if (abs >= 1_048_576) return `${(bytes / 1_048_576).toFixed(abs >= 10_485_760 ? 0 : 1)} MB`;
  return `${(bytes / 1_024).toFixed(1)} KB`;
}

/** Columns as wide as their widest cell, two spaces between them; all but the first stand at the right. */
export function columns(rows: readonly (readonly string[])[]): string[] {
  const widths = (rows[0] ?? []).map((_, column) => Math.max(...rows.map((row) => row[column]?.length ?? 0)));
  return rows.map((row) =>
    row
      .map((cell, column) =>
        column === 0 ? cell.padEnd(widths[0] ?? 0) : cell.padStart(widths[column] ?? 0),
      )
      .join('  ')
      .trimEnd(),
  );
}
