/**
 * Whether a room's name is one that a pattern names: in a pattern, `*` stands for any run of characters. Looks for each
 * part behind the one before, so that no pattern takes more than one pass over the room's name.
 */
export function matchesRoom(room: string, pattern: string): boolean {
  const [first = '', ...parts] = pattern.split('*');
  const last = parts.pop();
  if (last === undefined) return room === pattern;
  if (!room.startsWith(first)) return false;
  let from = first.length;
  for (const part of parts) {
    const at = room.indexOf(part, from);
    if (at < 0) return false;
    from = at + part.length;
  }
  return room.length - from >= last.length && room.endsWith(last);
}
