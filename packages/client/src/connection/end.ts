import { CloseCode, shouldReconnect } from '@halley/protocol/close-code';
import { HalleyError } from '@halley/protocol/error';

import { ClientError, connectionLost } from '../client-error.js';

/** How a link ended. */
export interface LinkEnd {
  readonly error: ClientError;
  /** Whether connecting again may help. */
  readonly reconnect: boolean;
  /** Not sooner than after so many milliseconds; absent is at once, with backoff. */
  readonly afterMs?: number;
}

/** The name of an error: that of the code in docs/protocol/close-codes.md, as errors are written (`token_expired`). */
function nameOf(code: number): string | undefined {
  const [name] = Object.entries(CloseCode).find(([, known]) => known === code) ?? [];
  return name?.replace(/\B[A-Z]/g, '_$&').toLowerCase();
}

/** The end that a close code tells; undefined, or one below 3000, is a connection that just ended. */
export function closedWith(code: number | undefined, text: string): LinkEnd {
  if (code === undefined || code < 3000) return { error: connectionLost(text || code), reconnect: true };
  const reconnect = shouldReconnect(code);
  const said = text || `Closed with ${code}.`;
  return {
    error: new ClientError(nameOf(code) ?? 'closed_by_server', said, {
      temporary: reconnect,
      closeCode: code,
    }),
    reconnect,
  };
}

/** The end that bytes bring which are not what they should be. */
export function faultOf(thrown: unknown): LinkEnd {
  const { code, message } = HalleyError.from(thrown);
  return { error: new ClientError(code, message, { temporary: true, cause: thrown }), reconnect: true };
}
