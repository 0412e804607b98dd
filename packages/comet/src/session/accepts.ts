/** The operations that a connection accepts; shared between connections, never changed in place. */
export type AcceptSet = ReadonlySet<number>;

/** The most operations that one connection may accept. */
export const MAX_ACCEPTS = 4_096;

const INT32_TEXT = /^[+-]?\d{1,11}$/;
const MAX_SHARED = 1_024;
const MAX_SHARED_OPERATIONS = 32;

/** Hands out one set for equal lists, so that ten thousand connections with the same token share one. */
export class AcceptSets {
  readonly #shared = new Map<string, AcceptSet>();

  /** The set of these operations. */
  of(operations: Iterable<number>): AcceptSet {
    const sorted = [...new Set(operations)].sort((a, b) => a - b);
    if (sorted.length > MAX_SHARED_OPERATIONS) return new Set(sorted);
    const name = sorted.join(',');
    const known = this.#shared.get(name);
    if (known) return known;
    const fresh = new Set(sorted);
    if (this.#shared.size >= MAX_SHARED) this.#shared.clear();
    this.#shared.set(name, fresh);
    return fresh;
  }

  /** With more operations; undefined when the list would grow over the limit. */
  with(set: AcceptSet, operations: readonly number[]): AcceptSet | undefined {
    const all = new Set(set);
    for (const operation of operations) all.add(operation);
    return all.size > MAX_ACCEPTS ? undefined : this.of(all);
  }

  without(set: AcceptSet, operations: readonly number[]): AcceptSet {
    const left = new Set(set);
    for (const operation of operations) left.delete(operation);
    return this.of(left);
  }
}

/** Reads decimal int32s joined by commas; undefined when one of them is none. Empty text is an empty list. */
export function parseOperations(text: string): number[] | undefined {
  if (text === '') return [];
  const operations: number[] = [];
  for (const part of text.split(',')) {
    const value = Number(part);
    if (!INT32_TEXT.test(part) || value !== (value | 0)) return undefined;
    operations.push(value);
  }
  return operations;
}
