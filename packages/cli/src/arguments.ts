import { InvalidArgumentError } from 'commander';

const INT64_MIN = -(2n ** 63n);
const INT64_MAX = 2n ** 63n - 1n;

/** Checks one user id, kept as text so that all 64 bits are exact. */
export function userId(text: string): string {
  if (!/^-?\d{1,19}$/.test(text)) throw new InvalidArgumentError('A user id is a whole number.');
  const value = BigInt(text);
  if (value < INT64_MIN || value > INT64_MAX)
    throw new InvalidArgumentError('A user id has 64 bits at most.');
  return value.toString();
}

/** A whole number from `low` to `high`. */
export function wholeNumber(low: number, high: number): (text: string) => number {
  return (text) => {
    const value = /^-?\d{1,15}$/.test(text) ? Number(text) : Number.NaN;
    if (!(value >= low && value <= high))
      throw new InvalidArgumentError(`Must be a whole number from ${low} to ${high}.`);
    return value;
  };
}

/** An operation of the frame. */
export const operation = wholeNumber(-(2 ** 31), 2 ** 31 - 1);

/** A list that is separated by commas, or repeated. */
export function listOf<Item>(
  parse: (text: string) => Item,
): (text: string, before: Item[] | undefined) => Item[] {
  return (text, before = []) => [
    ...before,
    ...text
      .split(',')
      .map((part) => part.trim())
      .filter(Boolean)
      .map(parse),
  ];
}

/** `host:port`, also `[::1]:3119`. */
export function hostAndPort(text: string): string {
  const port = /^(\[[^\]]+\]|[^:\s/]+):(\d{1,5})$/.exec(text)?.[2];
  if (port === undefined || Number(port) > 65_535 || Number(port) === 0) {
    throw new InvalidArgumentError('Must be host:port, as 127.0.0.1:3119.');
  }
  return text;
}

/** Text that is there: a variable of the shell that is not set is no name. */
export function someText(text: string): string {
  if (text === '') throw new InvalidArgumentError('Must not be empty.');
  return text;
}

/** One of the words. */
export function oneOf<Word extends string>(...words: readonly Word[]): (text: string) => Word {
  return (text) => {
    const found = words.find((word) => word === text);
    if (found === undefined) throw new InvalidArgumentError(`Must be one of ${words.join(', ')}.`);
    return found;
  };
}
