/**
 * The list cut into as few pieces as it takes for each to fit into a body, in order. What is too large alone stays so: the
 * server says what is wrong with it.
 */
export function inParts<T>(
  list: readonly T[],
  maxBytes: number,
  encode: (part: readonly T[]) => Uint8Array,
): readonly (readonly T[])[] {
  if (list.length < 2 || encode(list).length <= maxBytes) return list.length === 0 ? [] : [list];
  const half = list.length >> 1;
  return [...inParts(list.slice(0, half), maxBytes, encode), ...inParts(list.slice(half), maxBytes, encode)];
}
