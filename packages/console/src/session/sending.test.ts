import { ClientError, type Sent } from '@halley/client/browser';
import { beforeEach, expect, test } from '@jest/globals';

import type { Chat } from '../model/chat.js';
import { Shelf, type Storage } from '../model/shelf.js';
import type { ChatMessage } from '../model/timeline.js';
import { aliceChat, BOB, LOBBY, memoryStorage } from '../testing/fakes.js';
import { Sending } from './sending.js';

interface Call {
  readonly message: {
    readonly room?: string;
    readonly toMid?: unknown;
    readonly clientId?: string;
    readonly body: unknown;
  };
  readonly reject: (error: ClientError) => void;
}

let storage: Storage;
let chat: Chat;
let calls: Call[];
let sending: Sending;

/** A page in this window: the first one, or after a reload. */
function load(): void {
  chat = aliceChat(storage);
  calls = [];
  sending = new Sending(chat, new Shelf(storage, 'window'), {
    send: (message) => new Promise((_, reject) => calls.push({ message, reject })),
  });
}

beforeEach(() => {
  storage = memoryStorage();
  load();
});

const outgoing = (): readonly ChatMessage[] => chat.room(LOBBY).timeline.outgoing;
const reply = { id: 'i', stream: 's', epoch: 'e', position: 1, acceptedAtMs: 5, duplicate: false };
const settle = (more: Partial<Sent>): void =>
  sending.settled({ clientId: outgoing()[0]?.clientId ?? '', ...more } as Sent);

test('a message is shown at once, and as sent when it is durable', () => {
  sending.send(chat.room(LOBBY), 'hi');
  expect(calls[0]?.message).toMatchObject({ room: LOBBY, clientId: outgoing()[0]?.clientId });
  expect(outgoing()).toMatchObject([{ text: 'hi', sending: 'sending', mine: true }]);
  settle({ reply });
  expect(outgoing()).toMatchObject([{ text: 'hi', sending: 'sent', atMs: 5 }]);
});

test('one to a user goes to the user', () => {
  sending.send(chat.direct(BOB), 'hi');
  expect(calls[0]?.message).toMatchObject({ toMid: BOB });
  expect(calls[0]?.message.room).toBeUndefined();
});

test('one that is refused is shown as failed, and can be sent again or taken back', async () => {
  sending.send(chat.room(LOBBY), 'hi');
  calls[0]?.reject(new ClientError('send_not_granted', 'Not you.'));
  await Promise.resolve();
  await Promise.resolve();
  expect(outgoing()).toMatchObject([{ sending: 'failed', error: 'Not you.' }]);
  const [failed] = outgoing();
  sending.again(chat.room(LOBBY), failed!);
  expect(outgoing()).toMatchObject([{ text: 'hi', sending: 'sending' }]);
  expect(outgoing()[0]?.clientId).not.toBe(failed?.clientId);
  sending.drop(chat.room(LOBBY), outgoing()[0]!);
  expect(outgoing()).toEqual([]);
});

test('after a reload what was on its way is shown again, not sent a second time, and settled by the event', () => {
  sending.send(chat.room(LOBBY), 'hi');
  load();
  expect([outgoing().map(({ text }) => text), calls]).toEqual([['hi'], []]);
  settle({ reply });
  expect(outgoing()).toMatchObject([{ sending: 'sent' }]);
  load();
  expect(outgoing()).toEqual([]);
});

test('a client that was closed says nothing about the message', () => {
  sending.send(chat.room(LOBBY), 'hi');
  settle({ error: new ClientError('closed', '') });
  expect(outgoing()).toMatchObject([{ sending: 'sending' }]);
});
