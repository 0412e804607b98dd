import type { Client, ClientEvents } from '@halley/client/browser';

import { encodeBody, Op } from '../model/bodies.js';
import type { Chat } from '../model/chat.js';
import type { Conversation } from '../model/conversation.js';

/** What is read is told so long after, for several messages together. */
const TOLD_AFTER_MS = 250;

/** How far rooms were read, by room, user and epoch, as it is kept: a join does not tell it of others. */
type Kept = Readonly<Record<string, { readonly epoch: string; readonly reads: Record<string, number> }>>;

/**
 * Read marks. Of a room they are operation 31, which its members are told. An inbox is its user's alone, so that between two
 * people a message says it: durable, and to the reader's other devices too.
 */
export class Reading {
  readonly #told = new Map<string, number>();
  readonly #waiting = new Set<string>();

  constructor(
    private readonly chat: Chat,
    private readonly client: Pick<Client, 'markRead' | 'send'>,
  ) {
    for (const [key, { epoch, reads }] of Object.entries(chat.shelf.read<Kept>('reads') ?? {})) {
      const conversation = chat.conversations.get(key);
      conversation?.timeline.beginEpoch(epoch);
      for (const [mid, mark] of Object.entries(reads)) conversation?.readBy(mid, mark);
    }
  }

  /** The user sees the conversation's newest message. */
  seen(conversation: Conversation): void {
    const { newest } = conversation.timeline;
    if (!newest || newest.mark <= conversation.readUpTo) return;
    conversation.readUpTo = newest.mark;
    this.chat.changed();
    if (this.#waiting.has(conversation.key)) return;
    this.#waiting.add(conversation.key);
    setTimeout(() => {
      this.#waiting.delete(conversation.key);
      this.#tell(conversation);
    }, TOLD_AFTER_MS);
  }

  /** 31: how far rooms were read, by the user elsewhere or by others. */
  received(positions: ClientEvents['receipts']): void {
    const { chat } = this;
    for (const { stream, epoch, position, mid } of positions) {
      const conversation = chat.conversations.get(`room:${stream.slice(2)}`);
      if (!conversation || !stream.startsWith('r/')) continue;
      if (conversation.timeline.epoch === '') conversation.timeline.beginEpoch(epoch);
      if (conversation.timeline.epoch !== epoch) continue;
      if (mid === '0' || mid === chat.me.mid) {
        conversation.readUpTo = Math.max(conversation.readUpTo, position);
      } else {
        conversation.readBy(mid, position);
      }
    }
    this.#keep();
    chat.changed();
  }

  #tell(conversation: Conversation): void {
    const { newest, epoch } = conversation.timeline;
    if (!newest || this.#told.get(conversation.key) === newest.mark) return;
    this.#told.set(conversation.key, newest.mark);
    if (conversation.kind === 'room') {
      const stream = `r/${conversation.target}`;
      this.client
        .markRead({ stream, epoch, position: newest.position })
        .catch(() => this.#told.delete(conversation.key));
    } else if (!newest.mine && newest.fromMid !== '0') {
      const body = encodeBody({ at: newest.mark });
      this.client
        .send({ toMid: conversation.target, operation: Op.Read, body })
        .catch(() => this.#told.delete(conversation.key));
    }
  }

  #keep(): void {
    const kept = this.chat.rooms.map(({ key, timeline, reads }) => [
      key,
      { epoch: timeline.epoch, reads: Object.fromEntries(reads) },
    ]);
    this.chat.shelf.write('reads', Object.fromEntries(kept));
  }
}
