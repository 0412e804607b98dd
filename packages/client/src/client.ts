import {
  Ephemeral,
  Receipts,
  type Presence,
  type ReadPosition,
  type SendReply,
} from '@halley/protocol/client/bodies';
import type { UserId } from '@halley/protocol/ids';
import { OperationV2 } from '@halley/protocol/operation';

import { ClientError, clientClosed, wrapped } from './client-error.js';
import type { ConnectionState } from './connection/state.js';
import { Core, type Platform } from './core.js';
import { deferred } from './deferred.js';
import type { ClientEvents } from './events.js';
import { history, type HistoryQuery } from './history/history.js';
import type { ClientOptions } from './options.js';
import type { JoinedRoom, RoomStart } from './rooms/rooms.js';
import { bytesOf, type Outgoing, type SendOptions } from './send/outgoing.js';
import { streamOfRoom, type StreamMessage } from './streams/message.js';
import type { TransportName } from './transport/transport.js';

/** Typing and the like. */
export interface OutgoingEphemeral {
  /** To a room, or to a user. */
  readonly room?: string;
  readonly toMid?: string | number | bigint;
  readonly operation: number;
  /** At most 1,024 bytes. */
  readonly body: Uint8Array | string;
  /** For how long it is to be shown, in milliseconds. Default: the application's to know. */
  readonly ttlMs?: number;
}

/**
 * One device of one user, connected to a cluster. Register handlers first, then `connect`: what comes without a handler
 * counts as handled.
 */
export class Client {
  readonly #core: Core;

  constructor(options: ClientOptions, platform: Platform) {
    this.#core = new Core(options, platform);
  }

  get state(): ConnectionState {
    return this.#core.connector.state;
  }

  /** By which transport it is connected; undefined while it is not. */
  get transport(): TransportName | undefined {
    return this.#core.connector.link?.transport;
  }

  /** Calls the handler from the next event on; what is answered takes it off. */
  on<Name extends keyof ClientEvents>(
    name: Name,
    handler: (value: ClientEvents[Name]) => unknown,
  ): () => void {
    return this.#core.events.on(name, handler);
  }

  /**
   * Connects, and keeps connected until `close`, or until the server says that it would be in vain. Resolves when the
   * first connection is there. Rejects when the store can't be read, or the state becomes `closed`.
   */
  async connect(): Promise<void> {
    const { promise, resolve, reject } = deferred<void>();
    const off = this.on('state', (state) => {
      if (state.name === 'connected') resolve();
      if (state.name === 'closed') reject(state.reason ?? clientClosed());
    });
    try {
      if (this.state.name === 'connected') return;
      if (this.state.name === 'closed') throw this.state.reason ?? clientClosed();
      await this.#core.load();
      this.#core.connector.start();
      await promise;
    } catch (error) {
      throw wrapped('store_failed', error);
    } finally {
      off();
    }
  }

  /**
   * While the state is `waiting`: connects now. While it is `connected`: sees now whether that still holds. For who knows that the
   * network is back, or another one.
   */
  retryNow(): void {
    this.#core.connector.retryNow();
  }

  /**
   * Connects by this transport, and only then leaves the connection in use: nothing is lost, shown twice, or out of order.
   * Resolves when it is in use; rejects with why not, and goes on as before. It is kept until it does not get through any more,
   * or another one, or none, is named: then the option `transports` counts again. Ahead of `connect`: begins with it.
   */
  async useTransport(name?: TransportName): Promise<void> {
    const { connector, ladder } = this.#core;
    const before = ladder.pinned;
    ladder.pinned = name;
    try {
      if (name) await connector.use(name);
    } catch (error) {
      ladder.pinned = before;
      throw error;
    }
  }

  /**
   * Ends the connection for good. What handlers are done with is acknowledged; messages that wait to be sent are
   * rejected, and stay in the store where they are kept.
   */
  close(): void {
    this.#core.stop();
  }

  /**
   * Sends a message: now, or when a connection is there, after those given before for the same target. Resolves when it is
   * durable, rejects with what the server said. What is temporary or not known is repeated under the same id until then.
   */
  send(message: Outgoing, options?: SendOptions): Promise<SendReply> {
    if (this.state.name === 'closed') return Promise.reject(clientClosed('refused'));
    return this.#core.queue.send(message, options);
  }

  /** Sends what is worth nothing later. False when there is no connection: it is not kept for the next one. */
  sendEphemeral({ room = '', toMid = '0', operation, body, ttlMs = 0 }: OutgoingEphemeral): boolean {
    const { link } = this.#core.connector;
    if (!link?.version2) return false;
    const mid = String(toMid) as UserId;
    link.send(OperationV2.Ephemeral, Ephemeral, { room, toMid: mid, operation, body: bytesOf(body), ttlMs });
    return true;
  }

  /**
   * Joins a room, `{type}://{room}`, on this connection and on those that follow. A kept room goes on at its cursor; without
   * one `start` counts, and the default is its end. Rejects with what the server said.
   */
  join(room: string, { start }: { readonly start?: RoomStart } = {}): Promise<JoinedRoom> {
    return this.#core.rooms.join(room, start);
  }

  /** Leaves a room, and forgets its cursor. */
  leave(room: string): Promise<void> {
    return this.#core.rooms.leave(room);
  }

  /** The messages of a room that was joined, or of the own inbox: for `await`. */
  history(from: { readonly room: string } | 'inbox', query?: HistoryQuery): AsyncIterable<StreamMessage> {
    return history(this.#core.calls, from === 'inbox' ? this.#inbox() : streamOfRoom(from.room), query);
  }

  /**
   * The user has read a stream up to this message; his other devices are told. Answers how it stands now, with what is
   * unread.
   */
  async markRead(
    message: Pick<StreamMessage, 'stream' | 'epoch' | 'position'>,
  ): Promise<ReadPosition | undefined> {
    const { stream, epoch, position } = message;
    const asked = { positions: [{ stream, epoch, position }] };
    const { positions } = await this.#core.calls.ask(OperationV2.Receipts, Receipts, asked, Receipts);
    return positions[0];
  }

  /** Watches users: answers how they are, tells changes as `presence` events, also after reconnects. */
  watch(...users: readonly string[]): Promise<readonly Presence[]> {
    return this.#core.watched.watch(users);
  }

  unwatch(...users: readonly string[]): Promise<void> {
    return this.#core.watched.unwatch(users);
  }

  #inbox(): string {
    const { inbox } = this.#core.streams;
    if (!inbox) throw new ClientError('no_inbox', 'There was no connection yet, or the user is anonymous.');
    return inbox.stream;
  }
}
