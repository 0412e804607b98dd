import type { Client, StreamMessage } from '@halley/client/browser';

import type { Chat } from '../model/chat.js';
import type { Conversation } from '../model/conversation.js';
import type { Incoming } from './incoming.js';

const PAGE = 30;

/** The newest of the inbox that are read at the start: the conversations of many people share it. */
const FIRST_OF_INBOX = 200;

/** How many of the inbox are looked through for a page of one conversation. */
const LOOKED_THROUGH = 2_000;

/** What was said before: the newest page at first, older ones as somebody scrolls. */
export class Older {
  #first: 'not read' | 'reading' | 'read' = 'not read';
  /** How far back the inbox was read, of all conversations together. */
  #inbox: { readonly epoch: string; readonly before: number } | undefined;
  #inboxEnded = false;

  constructor(
    private readonly chat: Chat,
    private readonly incoming: Incoming,
    private readonly client: Pick<Client, 'history'>,
  ) {}

  /** The newest page of a room, once. */
  async firstOfRoom(conversation: Conversation): Promise<void> {
    if (conversation.older === 'none') await this.load(conversation);
  }

  /** The newest messages of the inbox, once; after a failure it goes on where it was. */
  async firstOfInbox(): Promise<void> {
    if (this.#first !== 'not read') return;
    this.#first = 'reading';
    try {
      await this.#readInbox(FIRST_OF_INBOX, () => false);
      this.#first = 'read';
      this.#tellDirects();
    } finally {
      if (this.#first === 'reading') this.#first = 'not read';
      this.chat.changed();
    }
  }

  /** A page of older messages; does nothing while one is on its way, or when there is none. */
  async load(conversation: Conversation): Promise<void> {
    const before = conversation.older;
    if (before === 'loading' || before === 'end') return;
    conversation.older = 'loading';
    this.chat.changed();
    try {
      if (conversation.kind === 'room') await this.#pageOfRoom(conversation);
      else await this.#pageOfDirect(conversation);
    } catch (error) {
      conversation.older = before;
      throw error;
    } finally {
      this.chat.changed();
    }
  }

  async #pageOfRoom(conversation: Conversation): Promise<void> {
    const { oldest, epoch } = conversation.timeline;
    const from = oldest ? { before: oldest.position, epoch } : {};
    const page = await take(
      this.client.history({ room: conversation.target }, { ...from, pageSize: PAGE }),
      PAGE,
    );
    for (const message of page) this.incoming.message(message);
    conversation.older = page.length < PAGE ? 'end' : 'more';
  }

  async #pageOfDirect(conversation: Conversation): Promise<void> {
    const wanted = conversation.timeline.entries.length + PAGE;
    if (!this.#inboxEnded) {
      await this.#readInbox(LOOKED_THROUGH, () => conversation.timeline.entries.length >= wanted);
    }
    conversation.older = 'more';
    this.#tellDirects();
  }

  /** Reads back until there is enough, or so many were read. */
  async #readInbox(atMost: number, enough: () => boolean): Promise<void> {
    let count = 0;
    for await (const message of this.client.history('inbox', { ...this.#inbox, pageSize: 100 })) {
      this.incoming.message(message);
      this.#inbox = { epoch: message.epoch, before: message.position };
      count += 1;
      if (count >= atMost || enough()) return;
    }
    this.#inboxEnded = true;
  }

  /** The inbox is read for all of them together. */
  #tellDirects(): void {
    this.chat.olderDirects = this.#inboxEnded ? 'end' : 'more';
    for (const direct of this.chat.directs) {
      if (direct.older !== 'loading') direct.older = this.chat.olderDirects;
    }
  }
}

async function take(messages: AsyncIterable<StreamMessage>, count: number): Promise<StreamMessage[]> {
  const taken: StreamMessage[] = [];
  for await (const message of messages) {
    taken.push(message);
    if (taken.length === count) break;
  }
  return taken;
}
