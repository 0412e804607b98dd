import { HalleyError } from '@halley/protocol/error';

import { parseInt32, parseInt64 } from '../int64.js';

/** What is said of a field that has to be there and is missing, empty or 0, as goim's `binding:"required"` has it. */
const REQUIRED = 'is required';

/**
 * Reads the fields of a query string as goim binds them: of a single field the first value counts, an empty number is
 * 0, and a list is a repeated field, never a comma. What is wrong is gathered, so that one answer names every field.
 */
export class QueryFields {
  readonly #fields: URLSearchParams;
  readonly #problems: string[] = [];

  constructor(query: string) {
    this.#fields = new URLSearchParams(query);
  }

  /** A 32-bit integer; with `required`, not 0. */
  int32(name: string, presence: 'optional' | 'required' = 'optional'): number {
    const text = this.#fields.get(name) || '0';
    const value = parseInt32(text);
    if (value === undefined) this.#problem(name, `${quote(text)} is not a 32-bit integer`);
    else if (value === 0 && presence === 'required') this.#problem(name, REQUIRED);
    return value ?? 0;
  }

  /** A number of entries: a 32-bit integer above 0. */
  limit(name: string): number {
    const value = this.int32(name, 'required');
    if (value < 0) this.#problem(name, 'must not be negative');
    return value;
  }

  /** 64-bit integers, exact, in decimal. */
  int64List(name: string): string[] {
    return this.#fields.getAll(name).map((text, index) => {
      const value = parseInt64(text || '0');
      if (value === undefined) this.#problem(`${name}[${index}]`, `${quote(text)} is not a 64-bit integer`);
      return value ?? '0';
    });
  }

  text(name: string, presence: 'optional' | 'required' = 'optional'): string {
    const value = this.#fields.get(name) ?? '';
    if (value === '' && presence === 'required') this.#problem(name, REQUIRED);
    return value;
  }

  texts(name: string, presence: 'optional' | 'required' = 'optional'): string[] {
    const values = this.#fields.getAll(name);
    if (values.length === 0 && presence === 'required') this.#problem(name, REQUIRED);
    return values;
  }

  /** At most this many values of a repeated field. */
  atMost(name: string, max: number): void {
    const count = this.#fields.getAll(name).length;
    if (count > max) this.#problem(name, `${count} values, more than ${max}`);
  }

  /** Throws `invalid_argument` that names each field that was wrong. */
  check(): void {
    if (this.#problems.length > 0) throw new HalleyError('invalid_argument', this.#problems.join('; '));
  }

  #problem(name: string, what: string): void {
    this.#problems.push(`${name}: ${what}`);
  }
}

function quote(text: string): string {
  return JSON.stringify(text.length > 40 ? `${text.slice(0, 40)}…` : text);
}
