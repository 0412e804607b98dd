import { escape } from 'mysql2';

/*
 * Rows as the text of a statement. With a placeholder for each value, the query builder and the driver together take
 * several times as long for a row; prepared statements would take a text for each number of rows.
 */

/** Bytes: nothing in them can end the literal. */
export function bytesLiteral(bytes: Uint8Array): string {
  return `x'${Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength).toString('hex')}'`;
}

/** A name, which is stored as its bytes. */
export function nameLiteral(name: string): string {
  return `x'${Buffer.from(name, 'utf8').toString('hex')}'`;
}

/** Nearly every text is an id, which the driver's escaping would leave as it is. */
const PLAIN = /^[\w.:/@+=-]*$/;

export function textLiteral(text: string | null): string {
  if (text === null) return 'NULL';
  return PLAIN.test(text) ? `'${text}'` : escape(text);
}

/** Throws RangeError when it is none. */
export function numberLiteral(value: number | null): string {
  if (value === null) return 'NULL';
  if (!Number.isFinite(value)) throw new RangeError(`${value} is no number`);
  return String(value);
}
