import type { UserId } from '@halley/protocol/ids';
import { afterEach, beforeEach, expect, jest, test } from '@jest/globals';

import type { Chat } from '../model/chat.js';
import type { Storage } from '../model/shelf.js';
import { aliceChat, BOB, IN_LOBBY, LOBBY, memoryStorage, messageOf } from '../testing/fakes.js';
import { Incoming } from './incoming.js';
import { Reading } from './reading.js';

let storage: Storage;
let chat: Chat;
let told: unknown[];
let reading: Reading;

function load(): void {
  chat = aliceChat(storage);
  told = [];
  reading = new Reading(chat, {
    markRead: async (message) => void told.push(message),
    send: async ({ toMid, operation, body }) => {
      told.push({ toMid, operation, body });
      return { id: '', stream: '', epoch: '', position: undefined, acceptedAtMs: 0, duplicate: false };
    },
  });
}

beforeEach(() => {
  jest.useFakeTimers();
  storage = memoryStorage();
  load();
});
afterEach(() => {
  jest.useRealTimers();
});

/** Bob has said something in the lobby. */
const said = (position: number): unknown =>
  new Incoming(chat).message(messageOf({ text: `${position}` }, { ...IN_LOBBY, position }));
const receipt = (mid: string, position: number, epoch = 'e'): void =>
  reading.received([
    { stream: `r/${LOBBY}`, epoch, position, unread: undefined, mid: mid as UserId, atMs: 0 },
  ]);

test('what is seen of a room is told once for several messages, by position', () => {
  const lobby = chat.room(LOBBY);
  for (const position of [10, 20]) {
    said(position);
    reading.seen(lobby);
  }
  expect([lobby.unread.count, told]).toEqual([0, []]);
  jest.advanceTimersByTime(1_000);
  expect(told).toEqual([{ stream: `r/${LOBBY}`, epoch: 'e', position: 20 }]);
  reading.seen(lobby);
  jest.advanceTimersByTime(1_000);
  expect(told).toHaveLength(1);
});

test('what is seen of a user is told to the user, by time', () => {
  new Incoming(chat).message(messageOf({ text: 'hi' }, { acceptedAtMs: 7_000 }));
  reading.seen(chat.direct(BOB));
  jest.advanceTimersByTime(1_000);
  expect(told).toEqual([{ toMid: BOB, operation: 1001, body: '{"at":7000}' }]);
});

test('marks of others are read marks, own ones of other devices too, and those of another epoch nothing', () => {
  said(10);
  receipt(BOB, 10);
  receipt('3', 10, 'another');
  expect([...chat.room(LOBBY).reads]).toEqual([[BOB, 10]]);
  receipt('0', 10);
  expect(chat.room(LOBBY).unread.count).toBe(0);
});

test('how far others had read is still known after a reload', () => {
  said(10);
  receipt(BOB, 10);
  load();
  expect([...chat.room(LOBBY).reads]).toEqual([[BOB, 10]]);
});
