import type { UserId } from '@halley/protocol/ids';

import type { Sender } from '../../streams/streams.js';

/** What is stored of a sender beside its user, as JSON. */
type Rest = Omit<Sender, 'mid'>;

export function senderText({ key, clientId, toMid }: Sender): string {
  return JSON.stringify({ key, clientId, toMid } satisfies Rest);
}

/** The sender in the two columns of a row; undefined when there is none. */
export function senderIn(mid: string | null, text: string | null): Sender | undefined {
  if (mid === null || text === null) return undefined;
  return { mid: mid as UserId, ...(JSON.parse(text) as Rest) };
}
