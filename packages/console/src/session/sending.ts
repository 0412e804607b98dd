import type { Client, ClientError, Sent } from '@halley/client/browser';

import { encodeBody, Op } from '../model/bodies.js';
import type { Chat } from '../model/chat.js';
import type { Conversation } from '../model/conversation.js';
import type { Shelf } from '../model/shelf.js';
import type { ChatMessage } from '../model/timeline.js';

/** A message that is not durable yet, as it is kept over a reload: the SDK keeps its queue, this is what is shown of it. */
interface Kept {
  readonly conversation: string;
  readonly message: ChatMessage;
}

/** Shows what is sent at once, and then what became of it. */
export class Sending {
  readonly #kept: Map<string, Kept>;

  constructor(
    private readonly chat: Chat,
    /** What this window keeps. */
    private readonly shelf: Shelf,
    private readonly client: Pick<Client, 'send'>,
  ) {
    const kept = shelf.read<Kept[]>('sending') ?? [];
    this.#kept = new Map(kept.map((one) => [one.message.clientId, one]));
    for (const { conversation: key, message } of kept) chat.conversations.get(key)?.timeline.send(message);
  }

  send(conversation: Conversation, text: string): void {
    const { me } = this.chat;
    this.#send(conversation, {
      clientId: randomId(),
      position: undefined,
      mark: Number.MAX_SAFE_INTEGER,
      fromMid: me.mid,
      fromName: me.name,
      mine: true,
      text,
      atMs: Date.now(),
      sending: 'sending',
    });
  }

  /** Once more, as a new message: what failed was refused for good. */
  again(conversation: Conversation, failed: ChatMessage): void {
    this.drop(conversation, failed);
    this.send(conversation, failed.text);
  }

  /** Takes back what failed. */
  drop(conversation: Conversation, { clientId }: ChatMessage): void {
    conversation.timeline.settle(clientId);
    this.#forget(clientId);
    this.chat.changed();
  }

  /** What became of a message of the queue, also of one that was there before this page was loaded. */
  settled({ clientId, reply, error }: Sent): void {
    const conversation = this.chat.conversations.get(this.#kept.get(clientId)?.conversation ?? '');
    const message = conversation?.timeline.outgoingBy(clientId);
    if (!conversation || !message) return this.#forget(clientId);
    if (error) return this.#failed(conversation, message, error);
    this.#forget(clientId);
    // It is shown as sent, and takes its place when it comes in the stream.
    if (reply)
      conversation.timeline.send({ ...message, sending: 'sent', atMs: reply.acceptedAtMs || message.atMs });
    this.chat.changed();
  }

  #send(conversation: Conversation, message: ChatMessage): void {
    const { target, kind } = conversation;
    conversation.timeline.send(message);
    this.#kept.set(message.clientId, { conversation: conversation.key, message });
    this.#keep();
    this.chat.changed();
    const body = encodeBody({ name: message.fromName, text: message.text });
    this.client
      .send({
        ...(kind === 'room' ? { room: target } : { toMid: target }),
        operation: Op.Text,
        body,
        clientId: message.clientId,
      })
      // The event `sent` tells it too, but of what the queue never took.
      .catch((error: ClientError) => {
        const still = conversation.timeline.outgoingBy(message.clientId);
        if (still?.sending === 'sending') this.#failed(conversation, still, error);
      });
  }

  #failed(conversation: Conversation, message: ChatMessage, error: ClientError): void {
    // The next start goes on with the queue.
    if (error.code === 'closed') return;
    conversation.timeline.send({ ...message, sending: 'failed', error: error.message });
    this.#forget(message.clientId);
    this.chat.changed();
  }

  #forget(clientId: string): void {
    if (this.#kept.delete(clientId)) this.#keep();
  }

  #keep(): void {
    this.shelf.write('sending', this.#kept.size > 0 ? [...this.#kept.values()] : undefined);
  }
}

function randomId(): string {
  return Array.from(crypto.getRandomValues(new Uint8Array(12)), (byte) =>
    byte.toString(16).padStart(2, '0'),
  ).join('');
}
