import type { Ephemeral, Presence, ReadPosition, SendReply } from '@halley/protocol/client/bodies';

import { ClientError, wrapped } from './client-error.js';
import type { ConnectionState } from './connection/state.js';
import type { StreamGap } from './streams/continue.js';
import type { StreamMessage } from './streams/message.js';
import type { TransportName } from './transport/transport.js';

/** What became of a message of the send queue, also of one that an earlier start had left in the store. */
export interface Sent {
  readonly clientId: string;
  /** What the server said; absent when it failed. */
  readonly reply?: SendReply;
  readonly error?: ClientError;
}

/** The events of a client, and what their handlers get. */
export interface ClientEvents {
  /**
   * A message, once and in order within its stream. The next one of the stream comes when all handlers are done, and only
   * then is this one's position saved and acknowledged.
   */
  message: StreamMessage;
  /** Something is missing in a stream, and will not come. Ahead of the messages behind it; handlers are awaited. */
  gap: StreamGap;
  /** Typing and the like: may be lost, in no order with messages. */
  ephemeral: Ephemeral;
  /** How watched users are now. */
  presence: readonly Presence[];
  /** Up to where streams were read: by this user's devices, or with `mid` by another member of a room. */
  receipts: readonly ReadPosition[];
  /** The connection's state has changed. */
  state: ConnectionState;
  /** Connected by another transport than before, or for the first time; ahead of the state. */
  transport: TransportName;
  /** A message of the send queue was taken, or failed. */
  sent: Sent;
  /** What went wrong and has no promise to tell it. */
  error: ClientError;
}

type Handler<T> = (value: T) => unknown;

/** Hands events to their handlers, one after the other, each awaited. */
export class Emitter {
  readonly #handlers = new Map<keyof ClientEvents, Set<Handler<never>>>();

  /** Calls the handler from the next event on; what is answered takes it off. */
  on<Name extends keyof ClientEvents>(name: Name, handler: Handler<ClientEvents[Name]>): () => void {
    const handlers = this.#handlers.get(name) ?? new Set();
    this.#handlers.set(name, handlers.add(handler));
    return () => {
      handlers.delete(handler);
    };
  }

  /** Done when all handlers are. A handler that throws is told as an error event, and counts as done. */
  async emit<Name extends keyof ClientEvents>(name: Name, value: ClientEvents[Name]): Promise<void> {
    for (const handler of [...(this.#handlers.get(name) ?? [])] as Handler<ClientEvents[Name]>[]) {
      try {
        await handler(value);
      } catch (thrown) {
        // A handler of errors that fails has nobody left to tell.
        if (name !== 'error') this.tell('error', handlerFailed(name, thrown));
      }
    }
  }

  /** As {@link emit}, for who does not wait. */
  tell<Name extends keyof ClientEvents>(name: Name, value: ClientEvents[Name]): void {
    void this.emit(name, value);
  }
}

function handlerFailed(name: string, thrown: unknown): ClientError {
  return new ClientError('handler_failed', `A handler of ${name} failed.`, {
    cause: wrapped('handler_failed', thrown).cause ?? thrown,
  });
}
