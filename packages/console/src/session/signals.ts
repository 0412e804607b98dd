import type { Client, ClientEvents } from '@halley/client/browser';

import { type Body, decodeBody, encodeBody, Op } from '../model/bodies.js';
import type { Chat } from '../model/chat.js';
import type { Conversation } from '../model/conversation.js';

/** Typing is told again so often while it lasts. */
const TYPING_EVERY_MS = 2_500;
const TYPING_TTL_MS = 5_000;
/** Answers to a hello come spread over so long. */
const ANSWERS_WITHIN_MS = 300;
const DELIVERED_AFTER_MS = 200;

/** Ephemerals: who types, who is there, what has come. Worth nothing later, and lost without harm. */
export class Signals {
  readonly #typedAtMs = new Map<string, number>();
  readonly #delivered = new Map<string, number>();
  readonly #answering = new Set<string>();

  constructor(
    private readonly chat: Chat,
    private readonly client: Pick<Client, 'sendEphemeral'>,
    /** Somebody is there, known before or not. */
    private readonly met: (mid: string) => void,
  ) {}

  /** The user typed something, or took it back or sent it. */
  typed(conversation: Conversation, stopped: boolean): void {
    const now = Date.now();
    const lastMs = this.#typedAtMs.get(conversation.key);
    if (stopped ? lastMs === undefined : lastMs !== undefined && now - lastMs < TYPING_EVERY_MS) return;
    if (stopped) this.#typedAtMs.delete(conversation.key);
    else this.#typedAtMs.set(conversation.key, now);
    this.#send(conversation, Op.Typing, { name: this.chat.me.name, stopped });
  }

  /** Tells a room who is there now; who hears it answers. */
  hello(room: Conversation): void {
    this.#send(room, Op.Hello, { name: this.chat.me.name });
  }

  /** A direct message has come: tells its sender, for several together. */
  delivered(conversation: Conversation, upTo: number): void {
    const { target } = conversation;
    const isWaiting = this.#delivered.has(target);
    this.#delivered.set(target, Math.max(upTo, this.#delivered.get(target) ?? 0));
    if (isWaiting) return;
    setTimeout(() => {
      const at = this.#delivered.get(target);
      this.#delivered.delete(target);
      if (at !== undefined) this.#send(conversation, Op.Delivered, { at });
    }, DELIVERED_AFTER_MS);
  }

  received({ room, fromMid, operation, body }: ClientEvents['ephemeral']): void {
    const { chat } = this;
    if (fromMid === chat.me.mid || fromMid === '0') return;
    const { name, stopped, answer, at } = decodeBody(body);
    chat.meet(fromMid, name);
    this.met(fromMid);
    if (operation === Op.Hello && !answer) this.#answer(fromMid);
    const conversation = room ? chat.conversations.get(`room:${room}`) : chat.direct(fromMid);
    if (conversation && operation === Op.Typing) this.#typing(conversation, fromMid, stopped === true);
    if (conversation && operation === Op.Delivered && at !== undefined) {
      conversation.deliveredUpTo = Math.max(conversation.deliveredUpTo, at);
    }
    chat.changed();
  }

  #typing(conversation: Conversation, mid: string, stopped: boolean): void {
    const untilMs = conversation.typing(mid, Date.now(), stopped);
    // Shown no longer than that, also when nothing else comes.
    setTimeout(() => this.chat.changed(), untilMs - Date.now() + 10);
  }

  #answer(mid: string): void {
    if (this.#answering.has(mid)) return;
    this.#answering.add(mid);
    setTimeout(() => {
      this.#answering.delete(mid);
      this.#send(this.chat.direct(mid), Op.Hello, { name: this.chat.me.name, answer: true });
    }, Math.random() * ANSWERS_WITHIN_MS);
  }

  #send({ kind, target }: Conversation, operation: number, body: Body): void {
    this.client.sendEphemeral({
      ...(kind === 'room' ? { room: target } : { toMid: target }),
      operation,
      body: encodeBody(body),
      ttlMs: TYPING_TTL_MS,
    });
  }
}
