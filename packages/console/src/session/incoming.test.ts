import type { StreamMessage } from '@halley/client/browser';
import { beforeEach, expect, test } from '@jest/globals';

import { encodeBody, Op } from '../model/bodies.js';
import { Chat } from '../model/chat.js';
import { Shelf } from '../model/shelf.js';
import { Incoming } from './incoming.js';

const ME = '1';
const BOB = '2';
let chat: Chat;
let incoming: Incoming;

beforeEach(() => {
  const kept = new Map<string, string>();
  const storage = {
    getItem: (key: string) => kept.get(key) ?? null,
    setItem: (key: string, value: string) => void kept.set(key, value),
    removeItem: (key: string) => void kept.delete(key),
  };
  chat = new Chat({ name: 'Alice', mid: ME, device: 'd' }, new Shelf(storage, ME));
  incoming = new Incoming(chat);
});

function message(
  more: Partial<Record<keyof StreamMessage, unknown>>,
  body: Parameters<typeof encodeBody>[0],
): StreamMessage {
  return {
    stream: `u/${ME}`,
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
    toMid: ME,
    traceparent: '',
    ...more,
  } as StreamMessage;
}

test('a direct message stands with whoever it is from, an own one with whom it is to, and names are learned', () => {
  const received = incoming.message(message({}, { name: 'Bob', text: 'hi' }));
  const sent = incoming.message(
    message({ fromMid: ME, toMid: BOB, position: 11 }, { name: 'Alice', text: 'ho' }),
  );
  expect([received?.key, sent?.key]).toEqual([`direct:${BOB}`, `direct:${BOB}`]);
  expect(received?.timeline.entries.map(({ text, mine }) => [text, mine])).toEqual([
    ['hi', false],
    ['ho', true],
  ]);
  expect(chat.nameOf(BOB)).toBe('Bob');
});

test('the same message is nothing new, live or of history', () => {
  expect(incoming.message(message({}, { text: 'hi' }))).toBeDefined();
  expect(incoming.message(message({}, { text: 'hi' }))).toBeUndefined();
});

test('a mark of the other one reads own messages; an own one, of another device, reads theirs', () => {
  incoming.message(message({}, { text: 'hi' }));
  incoming.message(message({ fromMid: ME, toMid: BOB, position: 11, acceptedAtMs: 2_000 }, { text: 'ho' }));
  incoming.message(message({ position: 12, acceptedAtMs: 3_000 }, { text: 'new' }));
  const conversation = chat.direct(BOB);
  expect(conversation.unread.count).toBe(1);
  incoming.message(message({ operation: Op.Read, position: 13 }, { at: 2_000 }));
  expect(conversation.tickOf(conversation.timeline.entries[1]!)).toBe('read');
  incoming.message(message({ operation: Op.Read, fromMid: ME, toMid: BOB, position: 14 }, { at: 3_000 }));
  expect(conversation.unread.count).toBe(0);
  expect(conversation.timeline.entries).toHaveLength(3);
});

test('who writes has read what is above', () => {
  const room = { stream: 'r/chat://lobby', room: 'chat://lobby', toMid: '0' };
  incoming.message(message({ ...room }, { text: 'hi' }));
  const conversation = chat.room('chat://lobby');
  expect(conversation.unread.count).toBe(1);
  incoming.message(message({ ...room, fromMid: ME, position: 11 }, { text: 'ho' }));
  expect(conversation.unread.count).toBe(0);
});

test('what is not kept, or of another stream, is not shown', () => {
  expect(incoming.message(message({ epoch: '' }, { text: 'x' }))).toBeUndefined();
  expect(incoming.message(message({ stream: 'all' }, { text: 'x' }))).toBeUndefined();
});

test('a push from a shell is text, of the server', () => {
  const room = { stream: 'r/chat://lobby', room: 'chat://lobby', fromMid: '0', toMid: '0', clientId: '' };
  const body = new TextEncoder().encode('plain <b>');
  const shown = incoming.message(message({ ...room, body }, {}));
  expect(shown?.timeline.newest).toMatchObject({ text: 'plain <b>', fromName: 'Server', mine: false });
});
