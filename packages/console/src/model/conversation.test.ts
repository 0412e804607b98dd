import { expect, test } from '@jest/globals';

import { Conversation } from './conversation.js';
import type { Entry } from './timeline.js';

const said = (position: number, mine = false): Entry => ({
  clientId: mine ? `c${position}` : '',
  position,
  mark: position,
  fromMid: mine ? '1' : '2',
  fromName: '',
  mine,
  text: '',
  atMs: 0,
  sending: 'sent',
});

function room(...entries: readonly Entry[]): Conversation {
  const conversation = Conversation.room('chat://lobby');
  for (const entry of entries) conversation.timeline.insert('e', entry);
  return conversation;
}

test('unread is what others said above the mark; more where older ones may be unread too', () => {
  const conversation = room(said(10), said(20, true), said(30), said(40));
  expect(conversation.unread).toEqual({ count: 3, more: true });
  conversation.readUpTo = 10;
  expect(conversation.unread).toEqual({ count: 2, more: false });
  conversation.readUpTo = 40;
  expect(conversation.unread).toEqual({ count: 0, more: false });
});

test('nothing older is unread where the beginning is loaded', () => {
  const conversation = room(said(10));
  conversation.older = 'end';
  expect(conversation.unread).toEqual({ count: 1, more: false });
});

test('the ticks of an own message: sent, delivered, read', () => {
  const message = said(20, true);
  const conversation = room(message);
  expect(conversation.tickOf(message)).toBe('sent');
  conversation.deliveredUpTo = 20;
  expect(conversation.tickOf(message)).toBe('delivered');
  expect(conversation.readBy('2', 19)).toBe(true);
  expect(conversation.tickOf(message)).toBe('delivered');
  conversation.readBy('3', 25);
  expect([conversation.tickOf(message), conversation.readersOf(message)]).toEqual(['read', ['3']]);
  expect(conversation.tickOf({ ...message, sending: 'failed' })).toBe('failed');
});

test('read marks only grow', () => {
  const conversation = room();
  expect([conversation.readBy('2', 5), conversation.readBy('2', 5), conversation.readBy('2', 3)]).toEqual([
    true,
    false,
    false,
  ]);
  expect(conversation.reads.get('2')).toBe(5);
});

test('who types is shown for a while, or until they stop', () => {
  const conversation = room();
  const untilMs = conversation.typing('2', 1_000);
  conversation.typing('3', 1_000);
  expect(conversation.typists(1_001)).toEqual(['2', '3']);
  conversation.typing('3', 1_100, true);
  expect(conversation.typists(untilMs - 1)).toEqual(['2']);
  expect(conversation.typists(untilMs)).toEqual([]);
});
