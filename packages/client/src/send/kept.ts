import { SendRequest } from '@halley/protocol/client/bodies';
import type { UserId } from '@halley/protocol/ids';

import type { SendFields } from './outgoing.js';

const PREFIX = 'send:';

/** The key of a message: keys sort as their numbers do, which grow over all starts. */
export function keyOf(number: number): string {
  return `${PREFIX}${String(number).padStart(16, '0')}`;
}

/** The message as a store keeps it: the body of its request, as text. */
export function keep(fields: SendFields): string {
  return btoa(String.fromCharCode(...encode(fields)));
}

/** What a store had kept of an earlier start, in order. */
export function keptIn(
  values: ReadonlyMap<string, string>,
): readonly { readonly key: string; readonly fields: SendFields }[] {
  return [...values]
    .filter(([key]) => key.startsWith(PREFIX))
    .map(([key, value]) => ({
      key,
      fields: SendRequest.decode(Uint8Array.from(atob(value), (char) => char.charCodeAt(0))),
    }))
    .sort((a, b) => (a.key < b.key ? -1 : 1));
}

/** The body of the request. Throws where `toMid` is no integer. */
export function encode(fields: SendFields): Uint8Array {
  return SendRequest.encode(requestOf(fields));
}

export function requestOf(fields: SendFields): SendFields & { readonly toMid: UserId } {
  return fields as SendFields & { readonly toMid: UserId };
}
