const DECIMAL = /^[+-]?[0-9]+$/;
const INT64_MIN = -(2n ** 63n);
const INT64_MAX = 2n ** 63n - 1n;

/**
 * A signed 64-bit integer in decimal, canonical and exact; undefined when the text is no such number or out of range.
 * Takes what Go's strconv.ParseInt takes in base 10: a sign of either kind, leading zeros.
 */
export function parseInt64(text: string): string | undefined {
  if (!DECIMAL.test(text)) return undefined;
  if (text.length <= 15) return String(Number(text) + 0);
  const value = BigInt(text.startsWith('+') ? text.slice(1) : text);
  return value < INT64_MIN || value > INT64_MAX ? undefined : value.toString();
}

/** A signed 32-bit integer in decimal; undefined when the text is no such number or out of range. */
export function parseInt32(text: string): number | undefined {
  const exact = parseInt64(text);
  if (exact === undefined) return undefined;
  const value = Number(exact);
  return value < -0x8000_0000 || value > 0x7fff_ffff ? undefined : value;
}
