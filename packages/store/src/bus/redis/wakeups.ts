import type { Logger } from '@halley/service/log';

import { RedisConnection, type RedisLocation } from '../../redis/connection.js';

/** Told the message; undefined when messages may have been missed. */
export type Listener = (message: string | undefined) => void;

/**
 * Listens to channels over a connection of its own. A message is a hint and may be lost: whoever listens also looks now
 * and then, and is told when the connection comes back.
 */
export class RedisWakeups {
  readonly #connection: RedisConnection<never>;
  readonly #listeners = new Map<string, Set<Listener>>();

  constructor(location: RedisLocation, log: Logger) {
    this.#connection = new RedisConnection({ location, store: "the bus in Redis' news", scripts: {}, log });
    const { redis } = this.#connection;
    redis.on('message', (channel: string, message: string) => this.#tell(channel, message));
    redis.on('ready', () => {
      for (const channel of this.#listeners.keys()) this.#subscribe(channel);
    });
  }

  start(): Promise<void> {
    return this.#connection.start();
  }

  stop(): void {
    this.#connection.stop();
  }

  listen(channel: string, listener: Listener): void {
    const listeners = this.#listeners.get(channel);
    if (listeners) {
      listeners.add(listener);
      return;
    }
    this.#listeners.set(channel, new Set([listener]));
    this.#subscribe(channel);
  }

  unlisten(channel: string, listener: Listener): void {
    const listeners = this.#listeners.get(channel);
    listeners?.delete(listener);
    if (listeners?.size !== 0) return;
    this.#listeners.delete(channel);
    this.#connection.redis.unsubscribe(channel).catch(() => undefined);
  }

  /** What fails is done when the connection is ready again. */
  #subscribe(channel: string): void {
    this.#connection.redis.subscribe(channel).then(
      () => this.#tell(channel, undefined),
      () => undefined,
    );
  }

  #tell(channel: string, message: string | undefined): void {
    for (const listener of this.#listeners.get(channel) ?? []) listener(message);
  }
}
