import type { StreamMessage } from '@halley/client/browser';

import { type Body, encodeBody, Op } from '../model/bodies.js';
import { Chat } from '../model/chat.js';
import { Shelf, type Storage } from '../model/shelf.js';

export const ALICE = '1';
export const BOB = '2';
export const LOBBY = 'chat://lobby';

/** A storage in memory. */
export function memoryStorage(): Storage {
  const kept = new Map<string, string>();
  return {
    getItem: (key) => kept.get(key) ?? null,
    setItem: (key, value) => void kept.set(key, value),
    removeItem: (key) => void kept.delete(key),
  };
}

/** Alice's chat, in a browser that may have had it before. */
export function aliceChat(storage = memoryStorage()): Chat {
  return new Chat({ name: 'Alice', mid: ALICE, device: 'd' }, new Shelf(storage, ALICE));
}

/** A message of the inbox, from Bob; with `more` of another one, or of a room. */
export function messageOf(
  body: Body,
  more: Partial<Record<keyof StreamMessage, unknown>> = {},
): StreamMessage {
  return {
    stream: `u/${ALICE}`,
    room: undefined,
    epoch: 'e',
    position: 10,
    id: 'i',
    operation: Op.Text,
    body: new TextEncoder().encode(encodeBody(body)),
    acceptedAtMs: 1_000,
    expireAtMs: 0,
    fromMid: BOB,
    fromKey: 'k',
    clientId: 'c',
    toMid: ALICE,
    traceparent: '',
    ...more,
  } as StreamMessage;
}

/** What makes a message one of the lobby. */
export const IN_LOBBY = { stream: `r/${LOBBY}`, room: LOBBY, toMid: '0' };
