import { beforeEach, expect, test } from '@jest/globals';

import type { Chat } from '../model/chat.js';
import type { Conversation } from '../model/conversation.js';
import { aliceChat, LOBBY } from '../testing/fakes.js';
import { type Line, linesOf } from './lines.js';

const NOON = new Date(2026, 4, 5, 12).getTime();
const MINUTE = 60_000;
let chat: Chat;
let lobby: Conversation;

beforeEach(() => {
  chat = aliceChat();
  lobby = chat.room(LOBBY);
});

function say(position: number, fromMid: string, atMs: number): void {
  const mine = fromMid === '1';
  const clientId = mine ? `c${position}` : '';
  lobby.timeline.insert('e', {
    clientId,
    position,
    mark: position,
    fromMid,
    fromName: fromMid,
    mine,
    text: `m${position}`,
    atMs,
    sending: 'sent',
  });
}

const lines = (unreadAbove = Infinity): Line[] => linesOf(chat, lobby, { unreadAbove, nowMs: NOON });
const shape = (line: Line): string =>
  line.kind === 'said'
    ? `${line.message.text}${line.first ? ' first' : ''}${line.last ? ' last' : ''}`
    : line.text;

test('what one person says in a row stands together, for five minutes', () => {
  say(1, '2', NOON);
  say(2, '2', NOON + MINUTE);
  say(3, '2', NOON + 7 * MINUTE);
  say(4, '3', NOON + 7 * MINUTE);
  expect(lines().map(shape)).toEqual(['Today', 'm1 first', 'm2 last', 'm3 first last', 'm4 first last']);
});

test('days are told', () => {
  say(1, '2', NOON - 24 * 60 * MINUTE);
  say(2, '2', NOON);
  expect(lines().map(shape)).toEqual(['Yesterday', 'm1 first last', 'Today', 'm2 first last']);
});

test('a line stands above what is new, unless everything is', () => {
  say(1, '2', NOON);
  say(2, '2', NOON);
  expect(lines(1).map(shape)).toEqual(['Today', 'm1 first last', 'New', 'm2 first last']);
  expect(lines(0).map(shape)).toEqual(['Today', 'm1 first', 'm2 last']);
});

test('what is missing is told where it is', () => {
  say(10, '2', NOON);
  say(20, '2', NOON);
  lobby.timeline.lose({ after: 12, through: 15, reason: 'retention' });
  expect(lines().map(shape)[2]).toBe('Messages are missing here (retention)');
});

test('who has read it stands below the newest own message that was read, and in its tick', () => {
  for (const position of [1, 2, 3]) say(position, '1', NOON);
  chat.meet('2', 'Bob');
  lobby.readBy('2', 2);
  const said = lines().flatMap((line) => (line.kind === 'said' ? [line] : []));
  expect(said.map(({ tick, readBy, tellsReaders }) => [tick, readBy, tellsReaders])).toEqual([
    ['read', 'Bob', false],
    ['read', 'Bob', true],
    ['sent', '', false],
  ]);
});
