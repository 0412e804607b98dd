import { SendReply, SendRequest } from '@halley/protocol/client/bodies';
import { OperationV2 } from '@halley/protocol/operation';

import { ClientError, clientClosed, timedOut, wrapped } from '../client-error.js';
import type { Clock } from '../clock.js';
import { fullJitterMs, type Backoff } from '../connection/backoff.js';
import type { Link } from '../connection/link.js';
import type { Answer } from '../connection/requests.js';
import type { Emitter } from '../events.js';
import type { CursorStore } from '../stores/store.js';
import { encode, keep, keptIn, keyOf, requestOf } from './kept.js';
import {
  fieldsOf,
  itemOf,
  outcomeOf,
  targetOf,
  tooLarge,
  type Item,
  type Outgoing,
  type SendOptions,
} from './outgoing.js';

/** A client id is its message's for 24 hours: after that a repetition could be a second message. */
const REPEAT_FOR_MS = 23 * 3_600_000;

export interface SendQueueDeps {
  readonly clock: Clock;
  readonly events: Emitter;
  readonly backoff: Backoff;
  readonly maxMessages: number;
  readonly maxBytes: number;
  /** Where messages are kept until they are answered; absent: nowhere. */
  readonly store: CursorStore | undefined;
}

/**
 * Messages on their way, a queue for each target: one of them is on the wire, and is repeated with the same client id until
 * the server has said what became of it. So they arrive once, and in the order in which they were given.
 */
export class SendQueue {
  readonly #deps: SendQueueDeps;
  /** Target → its messages, the first of which is the one to be sent. */
  readonly #targets = new Map<string, Item[]>();
  #messages = 0;
  #bytes = 0;
  /** Of the last one that was kept: numbers of a later start are above, whatever the store still has. */
  #number: number;
  #link: Link | undefined;

  constructor(deps: SendQueueDeps) {
    this.#deps = deps;
    this.#number = 1_000 * deps.clock.now();
  }

  /** Takes what an earlier start had left in the store: it goes ahead of what was given since. */
  loaded(values: ReadonlyMap<string, string>): void {
    const given = [...this.#targets.values()].flat();
    this.#targets.clear();
    for (const { key, fields } of keptIn(values)) {
      if (given.some(({ kept }) => kept === key)) continue;
      // It may have been on the wire.
      this.#add(Object.assign(itemOf(fields, key), { saved: true, firstSentAtMs: this.#deps.clock.now() }));
    }
    for (const item of given) this.#enqueue(item);
  }

  /**
   * Resolves when the message is durable. Rejects with what the server said, or `queue_full` (nothing was sent; temporary),
   * `timed_out` or `closed`.
   */
  async send(message: Outgoing, { timeoutMs }: SendOptions = {}): Promise<SendReply> {
    const { maxMessages, maxBytes, clock, store } = this.#deps;
    if (store) this.#number += 1;
    const item = itemOf(fieldsOf(message), store && keyOf(this.#number));
    // What can't be encoded is told here.
    encode(item.fields);
    if (this.#messages >= maxMessages || this.#bytes + item.bytes > maxBytes) {
      throw new ClientError('queue_full', 'Too much waits to be sent.', {
        temporary: true,
        outcome: 'refused',
      });
    }
    if (timeoutMs !== undefined) {
      item.cancelTimers.push(clock.after(timeoutMs, () => this.#fail(item, timedOut(outcomeOf(item)))));
    }
    this.#add(item);
    if (store && item.kept !== undefined) await this.#save(store, item.kept, item);
    return item.answer.promise;
  }

  opened(link: Link): void {
    this.#link = link;
    for (const target of this.#targets.keys()) this.#pump(target);
  }

  /** Rejects all. What is kept in a store stays there for the next start. */
  stop(): void {
    for (const item of [...this.#targets.values()].flat()) {
      for (const cancel of item.cancelTimers) cancel();
      item.progress = 'done';
      item.answer.reject(clientClosed(outcomeOf(item)));
    }
    this.#targets.clear();
  }

  async #save(store: CursorStore, key: string, item: Item): Promise<void> {
    try {
      await store.set(key, keep(item.fields));
      item.saved = true;
      this.#pump(targetOf(item));
    } catch (thrown) {
      this.#fail(item, wrapped('store_failed', thrown, true));
    }
  }

  #add(item: Item): void {
    this.#messages += 1;
    this.#bytes += item.bytes;
    this.#enqueue(item);
  }

  #enqueue(item: Item): void {
    const target = targetOf(item);
    this.#targets.set(target, [...(this.#targets.get(target) ?? []), item]);
    this.#pump(target);
  }

  /** Sends the first message to the target, unless it is on the wire, or to be later. */
  #pump(target: string): void {
    const item = this.#targets.get(target)?.[0];
    const link = this.#link;
    if (!item?.saved || item.progress !== 'queued' || !link?.open) return;
    const now = this.#deps.clock.now();
    if (now - (item.firstSentAtMs ?? now) > REPEAT_FOR_MS) return this.#fail(item, timedOut('unknown'));
    if (encode(item.fields).length > link.maxBodyBytes) return this.#fail(item, tooLarge(link.maxBodyBytes));
    item.progress = 'sent';
    item.firstSentAtMs ??= now;
    link.ask(OperationV2.Send, SendRequest, requestOf(item.fields), (answer) =>
      this.#answered(link, item, answer),
    );
  }

  #answered(link: Link, item: Item, answer: Answer): void {
    if (item.progress === 'done') return;
    if (!(answer instanceof ClientError)) return this.#done(item, SendReply.decode(answer.body));
    if (!answer.temporary && answer.outcome !== 'unknown') return this.#fail(item, answer);
    if (!link.open || answer.code === 'timed_out') {
      item.progress = 'queued';
      // The server takes no notice of the request: another connection may.
      link.end({ error: answer, reconnect: true });
      return this.#pump(targetOf(item));
    }
    const { clock, backoff } = this.#deps;
    const delayMs = answer.retryAfterMs + fullJitterMs(backoff, item.attempts, clock.random());
    item.attempts += 1;
    item.progress = 'resting';
    item.cancelTimers.push(
      clock.after(delayMs, () => {
        item.progress = 'queued';
        this.#pump(targetOf(item));
      }),
    );
  }

  #done(item: Item, reply: SendReply): void {
    this.#remove(item);
    item.answer.resolve(reply);
    this.#deps.events.tell('sent', { clientId: item.fields.clientId, reply });
  }

  #fail(item: Item, error: ClientError): void {
    this.#remove(item);
    item.answer.reject(error);
    this.#deps.events.tell('sent', { clientId: item.fields.clientId, error });
  }

  #remove(item: Item): void {
    for (const cancel of item.cancelTimers) cancel();
    item.progress = 'done';
    this.#messages -= 1;
    this.#bytes -= item.bytes;
    const target = targetOf(item);
    const queue = (this.#targets.get(target) ?? []).filter((other) => other !== item);
    if (queue.length > 0) this.#targets.set(target, queue);
    else this.#targets.delete(target);
    if (item.kept !== undefined) this.#forget(item.kept);
    this.#pump(target);
  }

  /** Should it fail, the message is sent again by the next start, with its client id. */
  #forget(key: string): void {
    const failed = (thrown: unknown): void =>
      this.#deps.events.tell('error', wrapped('store_failed', thrown, true));
    try {
      Promise.resolve(this.#deps.store?.set(key, undefined)).catch(failed);
    } catch (thrown) {
      failed(thrown);
    }
  }
}
