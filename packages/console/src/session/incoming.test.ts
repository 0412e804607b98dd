import { beforeEach, expect, test } from '@jest/globals';

import { Op } from '../model/bodies.js';
import type { Chat } from '../model/chat.js';
import { ALICE, aliceChat, BOB, IN_LOBBY, LOBBY, messageOf } from '../testing/fakes.js';
import { Incoming } from './incoming.js';

let chat: Chat;
let incoming: Incoming;

beforeEach(() => {
  chat = aliceChat();
  incoming = new Incoming(chat);
});

test('a direct message stands with whoever it is from, an own one with whom it is to, and names are learned', () => {
  const received = incoming.message(messageOf({ name: 'Bob', text: 'hi' }, {}));
  const sent = incoming.message(
    messageOf({ name: 'Alice', text: 'ho' }, { fromMid: ALICE, toMid: BOB, position: 11 }),
  );
  expect([received?.key, sent?.key]).toEqual([`direct:${BOB}`, `direct:${BOB}`]);
  expect(received?.timeline.entries.map(({ text, mine }) => [text, mine])).toEqual([
    ['hi', false],
    ['ho', true],
  ]);
  expect(chat.nameOf(BOB)).toBe('Bob');
});

test('the same message is nothing new, live or of history', () => {
  expect(incoming.message(messageOf({ text: 'hi' }, {}))).toBeDefined();
  expect(incoming.message(messageOf({ text: 'hi' }, {}))).toBeUndefined();
});

test('a mark of the other one reads own messages; an own one, of another device, reads theirs', () => {
  incoming.message(messageOf({ text: 'hi' }, {}));
  incoming.message(
    messageOf({ text: 'ho' }, { fromMid: ALICE, toMid: BOB, position: 11, acceptedAtMs: 2_000 }),
  );
  incoming.message(messageOf({ text: 'new' }, { position: 12, acceptedAtMs: 3_000 }));
  const conversation = chat.direct(BOB);
  expect(conversation.unread.count).toBe(1);
  incoming.message(messageOf({ at: 2_000 }, { operation: Op.Read, position: 13 }));
  expect(conversation.tickOf(conversation.timeline.entries[1]!)).toBe('read');
  incoming.message(
    messageOf({ at: 3_000 }, { operation: Op.Read, fromMid: ALICE, toMid: BOB, position: 14 }),
  );
  expect(conversation.unread.count).toBe(0);
  expect(conversation.timeline.entries).toHaveLength(3);
});

test('who writes has read what is above', () => {
  incoming.message(messageOf({ text: 'hi' }, IN_LOBBY));
  const conversation = chat.room(LOBBY);
  expect(conversation.unread.count).toBe(1);
  incoming.message(messageOf({ text: 'ho' }, { ...IN_LOBBY, fromMid: ALICE, position: 11 }));
  expect(conversation.unread.count).toBe(0);
});

test('what is not kept, or of another stream, is not shown', () => {
  expect(incoming.message(messageOf({ text: 'x' }, { epoch: '' }))).toBeUndefined();
  expect(incoming.message(messageOf({ text: 'x' }, { stream: 'all' }))).toBeUndefined();
});

test('a push from a shell is text, of the server', () => {
  const room = { ...IN_LOBBY, fromMid: '0', clientId: '' };
  const body = new TextEncoder().encode('plain <b>');
  const shown = incoming.message(messageOf({}, { ...room, body }));
  expect(shown?.timeline.newest).toMatchObject({ text: 'plain <b>', fromName: 'Server', mine: false });
});
