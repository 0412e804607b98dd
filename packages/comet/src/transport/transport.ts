import type { CloseCode } from '@halley/protocol/close-code';

import type { Variant } from '../delivery/format.js';

/**
 * One client's connection, below its session. It reports that the client has ended its side, and may still read, with
 * `Session.onLeft`; its end with `Session.onGone`, once.
 */
export interface Transport {
  readonly variant: Variant;
  /** Whether the connection is encrypted by us. */
  readonly secure: boolean;
  /** The client's address, as trusted proxies told it. */
  readonly clientIp: string;
  /** The Cookie header of the request that opened it; empty on TCP. */
  readonly cookie: string;
  /** From now on the client may send frames with the long header. */
  acceptVersion2(): void;
  /**
   * Ends the connection after what was written: on WebSocket with a close frame, over HTTP with the code in an event or a
   * header, on TCP by ending the stream.
   * What the client still sends is thrown away.
   */
  close(code: CloseCode, reason: string): void;
  /** Ends the connection after what was written, as the answer to the client's own end. */
  end(): void;
  /** Cuts the connection off. */
  destroy(): void;
  /** Reads nothing more from the client until resumed; a chunk that has arrived may still be handed over. */
  pause(): void;
  resume(): void;
}
