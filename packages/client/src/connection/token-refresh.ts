import { TokenReply, TokenRequest } from '@halley/protocol/client/bodies';
import { OperationV2 } from '@halley/protocol/operation';

import { ClientError, wrapped } from '../client-error.js';
import type { Clock } from '../clock.js';
import type { Link } from './link.js';
import { readToken, type TokenSource } from './token.js';

const RETRY_MS = 5_000;

export interface TokenRefreshDeps {
  readonly clock: Clock;
  readonly token: TokenSource;
  /** How long before its end a token is renewed; at half of its life if that is shorter. */
  readonly beforeMs: number;
  readonly failed: (error: ClientError) => void;
  /** Rooms that the new token does not grant. */
  readonly leftRooms: (rooms: readonly string[]) => void;
}

/** Renews the token of the link in use before it expires, where there is somebody to ask for one. */
export class TokenRefresh {
  readonly #deps: TokenRefreshDeps;
  #link: Link | undefined;
  #cancel: () => void = () => undefined;

  constructor(deps: TokenRefreshDeps) {
    this.#deps = deps;
  }

  opened(link: Link): void {
    this.#cancel();
    this.#link = link;
    // The server's clock tells how long it is; ours may be wrong.
    const { tokenExpiresAtMs = 0, nowMs = 0 } = link.auth ?? {};
    this.#schedule(tokenExpiresAtMs, nowMs);
  }

  stop(): void {
    this.#link = undefined;
    this.#cancel();
  }

  #schedule(expiresAtMs: number, nowMs: number): void {
    if (expiresAtMs === 0 || typeof this.#deps.token === 'string') return;
    const lifeMs = Math.max(0, expiresAtMs - nowMs);
    const inMs = Math.max(lifeMs - this.#deps.beforeMs, lifeMs / 2);
    this.#later(inMs);
  }

  #later(delayMs: number): void {
    this.#cancel();
    this.#cancel = this.#deps.clock.after(delayMs, () => {
      const link = this.#link;
      if (link?.open) this.#renew(link).catch((thrown: unknown) => this.#failed(thrown));
    });
  }

  async #renew(link: Link): Promise<void> {
    const token = await readToken(this.#deps.token);
    link.ask(OperationV2.Token, TokenRequest, { token }, (answer) => {
      if (link !== this.#link) return;
      if (answer instanceof ClientError) return this.#failed(answer);
      const { tokenExpiresAtMs, leftRooms } = TokenReply.decode(answer.body);
      // The reply has no clock of the server: what it said with auth, and the time since, make one.
      this.#schedule(tokenExpiresAtMs, this.#serverNow(link));
      if (leftRooms.length > 0) this.#deps.leftRooms(leftRooms);
    });
  }

  #serverNow(link: Link): number {
    return (link.auth?.nowMs ?? 0) + this.#deps.clock.now() - link.openedAtMs;
  }

  /** The old token counts on until it expires. */
  #failed(thrown: unknown): void {
    if (!this.#link?.open) return;
    this.#deps.failed(wrapped('token_failed', thrown, true));
    this.#later(RETRY_MS);
  }
}
