import {
  type Client,
  type ClientError,
  type ClientEvents,
  createClient,
  localStorageStore,
} from '@halley/client/browser';

import type { Chat } from '../model/chat.js';
import type { Conversation } from '../model/conversation.js';
import { midOf, roomOfTitle, tidyName } from '../model/names.js';
import { Op } from '../model/bodies.js';
import type { Shelf } from '../model/shelf.js';
import { Incoming } from './incoming.js';
import { Older } from './older.js';
import { Reading } from './reading.js';
import { Sending } from './sending.js';
import { Signals } from './signals.js';
import { transportOf, type TransportWish } from './transports.js';

export interface SessionDeps {
  readonly chat: Chat;
  /** Where the page is served: `ws://host:port`, `wss://host:port`. */
  readonly address: string;
  /** What this window keeps over a reload. */
  readonly storage: Storage;
  readonly shelf: Shelf;
}

/** The chat's connection to Halley: a client of the SDK, what it brings put into the chat, what the user does sent. */
export class Session {
  readonly sending: Sending;
  readonly signals: Signals;
  readonly reading: Reading;
  readonly #older: Older;
  readonly #incoming: Incoming;
  readonly #client: Client;
  readonly #watched = new Set<string>();
  readonly #joined = new Set<Conversation>();

  constructor(private readonly deps: SessionDeps) {
    const { chat, shelf } = deps;
    const client = newClient(deps);
    this.#incoming = new Incoming(chat);
    this.#older = new Older(chat, this.#incoming, client);
    this.sending = new Sending(chat, shelf, client);
    this.signals = new Signals(chat, client, (mid) => this.#watch([mid]));
    this.reading = new Reading(chat, client);
    this.#client = client;
    this.#listen();
  }

  /** Connects, and joins what the user is in. */
  start(): void {
    const { chat } = this.deps;
    // With a transport of its own it begins with that one.
    if (chat.wish !== 'auto') void this.use(chat.wish);
    // What is wrong for good is the state `closed`.
    this.#client.connect().catch(() => undefined);
    for (const room of chat.rooms) void this.join(room);
  }

  /** Moves over to another transport, or to the best one; the connection in use is left when the new one is open. */
  async use(wish: TransportWish): Promise<void> {
    const { chat } = this.deps;
    const before = chat.wish;
    chat.wish = wish;
    chat.moving = true;
    chat.changed();
    try {
      await this.#client.useTransport(wish === 'auto' ? undefined : wish);
    } catch (error) {
      chat.wish = before;
      chat.tell(`${(error as ClientError).message} Going on as before.`);
    } finally {
      chat.moving = false;
      chat.changed();
    }
  }

  retryNow(): void {
    this.#client.retryNow();
  }

  /** Joins a room, and asks for its newest messages. */
  async join(room: Conversation): Promise<void> {
    const { chat } = this.deps;
    try {
      const { durable } = await this.#client.join(room.target, { start: 'newest' });
      room.refused = undefined;
      if (!durable) room.refused = 'This room is not kept: start Halley with --push.durableRooms "chat://*".';
      this.#joined.add(room);
      this.signals.hello(room);
      this.#first();
    } catch (error) {
      if ((error as ClientError).code !== 'closed') room.refused = (error as ClientError).message;
    }
    chat.changed();
  }

  async leave(room: Conversation): Promise<void> {
    this.#joined.delete(room);
    this.deps.chat.forget(room);
    this.deps.chat.changed();
    await this.#client.leave(room.target);
  }

  /** The room that somebody called so, joined; undefined when it can't be a room's name. */
  openRoom(title: string): Conversation | undefined {
    const { chat } = this.deps;
    const name = roomOfTitle(title);
    if (name === undefined) return undefined;
    const isNew = !chat.conversations.has(`room:${name}`);
    const room = chat.room(name);
    if (isNew && this.#client.state.name !== 'idle') void this.join(room);
    return room;
  }

  /** The conversation with who has this name; undefined when it is nobody else's. */
  openDirect(said: string): Conversation | undefined {
    const { chat } = this.deps;
    const name = tidyName(said);
    const mid = midOf(name);
    if (name === '' || mid === chat.me.mid) return undefined;
    if (!chat.people.mids.includes(mid)) chat.meet(mid, name);
    this.#watch([mid]);
    return chat.direct(mid);
  }

  /** A page of older messages. */
  async older(conversation: Conversation): Promise<void> {
    await this.#older
      .load(conversation)
      .then(() => this.#watch(this.deps.chat.people.mids))
      .catch((error: ClientError) => this.deps.chat.tell(`Older messages can't be had: ${error.message}`));
  }

  #listen(): void {
    const client = this.#client;
    client.on('state', () => this.#state());
    client.on('transport', () => this.#state());
    client.on('message', (message) => this.#message(message));
    client.on('gap', (gap) => this.#incoming.gap(gap));
    client.on('sent', (sent) => this.sending.settled(sent));
    client.on('ephemeral', (ephemeral) => this.signals.received(ephemeral));
    client.on('receipts', (positions) => this.reading.received(positions));
    client.on('presence', (users) => this.#present(users));
  }

  #message(message: Parameters<Incoming['message']>[0]): void {
    const { chat } = this.deps;
    const conversation = this.#incoming.message(message);
    if (conversation?.kind === 'direct' && message.fromMid !== chat.me.mid) {
      this.signals.delivered(conversation, message.acceptedAtMs);
    }
    if (!this.#watched.has(message.fromMid)) this.#watch([message.fromMid]);
    // What is said is typed no longer.
    conversation?.typing(message.fromMid, Date.now(), true);
    chat.changed();
  }

  #state(): void {
    const { chat } = this.deps;
    const { state } = this.#client;
    if (state.name === 'connected') {
      chat.connection = { name: 'connected', transport: transportOf(this.#client.transport) };
      this.#watch(chat.people.mids);
      this.#first();
    } else if (state.name === 'connecting') {
      chat.connection = { name: 'connecting', attempt: state.attempt };
    } else if (state.name === 'waiting') {
      chat.connection = { name: 'waiting', untilMs: state.untilMs, reason: state.reason.message };
    } else if (state.name === 'closed' && state.reason) {
      chat.connection = { name: 'closed', code: state.reason.code, reason: state.reason.message };
    }
    chat.changed();
  }

  #watch(mids: readonly string[]): void {
    const { chat } = this.deps;
    const fresh = mids.filter((mid) => mid !== chat.me.mid && mid !== '0' && !this.#watched.has(mid));
    if (fresh.length === 0 || this.#client.state.name !== 'connected') return;
    for (const mid of fresh) this.#watched.add(mid);
    this.#client.watch(...fresh).then(
      (users) => this.#present(users),
      () => {
        for (const mid of fresh) this.#watched.delete(mid);
      },
    );
  }

  #present(users: ClientEvents['presence']): void {
    for (const { mid, online } of users) this.deps.chat.people.presence(mid, online);
    this.deps.chat.changed();
  }

  /** What the page begins with: with each connection, until it was had. */
  #first(): void {
    const asked = [...this.#joined].map((room) => this.#older.firstOfRoom(room));
    const { people } = this.deps.chat;
    for (const one of [this.#older.firstOfInbox(), ...asked]) {
      // Who is met in what was said before is watched, too.
      one.then(() => this.#watch(people.mids)).catch(() => undefined);
    }
  }
}

function newClient({ chat, address, storage }: SessionDeps): Client {
  const { mid, device } = chat.me;
  return createClient({
    addresses: address,
    token: `{"mid":${mid},"key":${JSON.stringify(device)},"platform":"web","accepts":[${Op.Text},${Op.Read}]}`,
    store: localStorageStore(`chat:${mid}:${device}`, storage),
    start: 'newest',
    keepQueue: true,
    backoff: { baseMs: 500, maxMs: 10_000 },
    upgradeAfterMs: 10_000,
  });
}
