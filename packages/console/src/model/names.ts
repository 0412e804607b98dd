/** The longest name, in characters as people count them. */
export const MAX_NAME_LENGTH = 24;

/** What cannot be seen. The joiner within an emoji of several, as an astronaut, is none of it. */
const UNSEEN =
  /(?:(?!(?<=[\p{Extended_Pictographic}\p{Emoji_Modifier}\ufe0f])\u200d\p{Extended_Pictographic})[\p{C}\s])+/gu;

/** A name as it is shown: without spaces around and doubled; empty when nothing is left. */
export function tidyName(name: string): string {
  const tidy = name.normalize('NFKC').replace(UNSEEN, ' ').trim();
  return charactersOf(tidy).slice(0, MAX_NAME_LENGTH).join('').trim();
}

/** A text by what people take for one character. */
function charactersOf(text: string): string[] {
  return Array.from(new Intl.Segmenter().segment(text), ({ segment }) => segment);
}

const FNV_OFFSET = 0xcbf29ce484222325n;
const FNV_PRIME = 0x100000001b3n;
const MASK_64 = (1n << 64n) - 1n;

/**
 * The user id of a name, the same on every machine and whatever its case: 52 bits of FNV-1a, so that it is exact as a number
 * of JSON. A demo's shortcut: whoever takes a name is that user.
 */
export function midOf(name: string): string {
  let hash = FNV_OFFSET;
  for (const byte of new TextEncoder().encode(tidyName(name).toLowerCase())) {
    hash = ((hash ^ BigInt(byte)) * FNV_PRIME) & MASK_64;
  }
  return String(hash >> 12n || 1n);
}

/** The letters in a person's disc. An emoji is one where there is no other. */
export function initialsOf(name: string): string {
  const all = name.split(' ').filter(Boolean);
  const lettered = all.filter((word) => /^[\p{L}\p{N}]/u.test(word));
  const words = lettered.length > 0 ? lettered : all;
  const letters = words.length > 1 ? [words[0], words.at(-1)] : [words[0]];
  return letters.map((word) => charactersOf(word ?? '')[0]?.toUpperCase() ?? '?').join('');
}

/** One of the twelve colours, by the user. */
export function hueOf(mid: string): number {
  return Number(BigInt(mid) % 12n);
}

/** `chat://{slug}` of what somebody called a room; undefined when nothing of it can stand in a room's name. */
export function roomOfTitle(title: string): string | undefined {
  const slug = title
    .normalize('NFKC')
    .toLowerCase()
    .replace(/^#+/, '')
    .replace(/[^\p{L}\p{N}]+/gu, '-')
    .replace(/^-+|-+$/g, '')
    .slice(0, 32);
  return slug ? `chat://${slug}` : undefined;
}

/** What a room is called: the part behind `://`. */
export function titleOfRoom(room: string): string {
  return room.slice(room.indexOf('://') + 3);
}
