import type { StreamGap, StreamMessage } from '@halley/client/browser';

import { decodeBody, Op } from '../model/bodies.js';
import type { Chat } from '../model/chat.js';
import type { Conversation } from '../model/conversation.js';

/** `u/{mid}` is an inbox, `r/{room}` a room; everything else is not shown. */
const INBOX = 'u/';

/** Puts what streams bring into conversations, whether it comes now or as a page of history. */
export class Incoming {
  constructor(private readonly chat: Chat) {}

  /** Answers the conversation in which a message is shown now that was not; undefined where there is none. */
  message(message: StreamMessage): Conversation | undefined {
    const { chat } = this;
    const conversation = this.#conversationOf(message);
    if (!conversation) return undefined;
    const { fromMid, operation, position, acceptedAtMs } = message;
    const { name, text, at } = decodeBody(message.body);
    const mine = fromMid === chat.me.mid;
    chat.meet(fromMid, name);
    if (operation === Op.Read && conversation.kind === 'direct') {
      if (at !== undefined) this.#read(conversation, mine, fromMid, at);
      return undefined;
    }
    if (text === undefined) return undefined;
    const mark = conversation.kind === 'room' ? position : acceptedAtMs;
    // Who writes has read what is above.
    if (mine && conversation.readUpTo < mark) conversation.readUpTo = mark;
    const isNew = conversation.timeline.insert(message.epoch, {
      clientId: message.clientId,
      position,
      mark,
      fromMid,
      fromName: name ?? chat.nameOf(fromMid),
      mine,
      text,
      atMs: acceptedAtMs,
      sending: 'sent',
    });
    return isNew ? conversation : undefined;
  }

  gap({ stream, reason, after, through }: StreamGap): void {
    if (!stream.startsWith('r/')) return;
    this.chat.room(stream.slice(2)).timeline.lose({ after, through, reason });
    this.chat.changed();
  }

  #read(conversation: Conversation, mine: boolean, fromMid: string, at: number): void {
    if (mine) conversation.readUpTo = Math.max(conversation.readUpTo, at);
    else conversation.readBy(fromMid, at);
  }

  #conversationOf({ stream, room, epoch, fromMid, toMid }: StreamMessage): Conversation | undefined {
    // What is not kept has no place in a timeline.
    if (epoch === '') return undefined;
    if (room !== undefined) return this.chat.room(room);
    if (!stream.startsWith(INBOX)) return undefined;
    return this.chat.direct(fromMid === this.chat.me.mid ? toMid : fromMid);
  }
}
