import type { Nodes } from './connection/addresses.js';
import type { Backoff } from './connection/backoff.js';
import type { TokenSource } from './connection/token.js';
import type { CursorStore } from './stores/store.js';
import type { TransportName } from './transport/transport.js';

/** What a client is made with. The README has it as a table. */
export interface ClientOptions {
  /**
   * Where comets are: `ws://host:port`, `wss://host:port` (or the same with `http` and `https`), in Node also `tcp://host:port`
   * and `tls://host:port`. With several another one is asked when one refuses, drains, or ends the connection.
   */
  readonly addresses?: string | readonly string[];
  /** Asked for addresses ahead of every attempt, best first; `weightedNodes` makes one that asks logic. */
  readonly nodes?: Nodes;
  /**
   * By which transports addresses that are none of TCP are tried, best first: the next one when one does not get through, and
   * up again by itself. Default `['websocket', 'sse', 'poll']`.
   */
  readonly transports?: readonly Exclude<TransportName, 'tcp'>[];
  /**
   * Attempts that fail until the next transport is tried; one that connects and then is silent counts for all. Default 2; sane
   * 1 to 5.
   */
  readonly fallbackAfter?: number;
  /** How often a better transport is tried beside a worse one, in milliseconds. Default 60,000; sane 10,000 to 600,000. */
  readonly upgradeAfterMs?: number;
  /** The token, or a function that is asked for one ahead of every connection, and before the last one expires. */
  readonly token: TokenSource;
  /** Where cursors are kept. Default: in memory. */
  readonly store?: CursorStore;
  /** Where the inbox begins without a cursor. Default: where the user's devices are, else at the oldest that is kept. */
  readonly start?: 'oldest' | 'newest';
  /** Takes compressed bodies. Default: where DecompressionStream is there. */
  readonly deflate?: boolean;
  /** Checksums on all frames, both ways. Default false. */
  readonly checksum?: boolean;
  readonly backoff?: Partial<Backoff>;
  /** From the start of connecting to the answer to auth, in milliseconds. Default 10,000; sane 2,000 to 30,000. */
  readonly handshakeTimeoutMs?: number;
  /** Between heartbeats, in milliseconds; the server's is taken when it is shorter. Default 60,000; sane 10,000 to 240,000. */
  readonly heartbeatMs?: number;
  /** How long a server that is silent after a heartbeat is waited for, in milliseconds. Default 10,000; sane 2,000 to 30,000. */
  readonly heartbeatTimeoutMs?: number;
  /** How long a request is waited for, in milliseconds. Default 30,000; sane 5,000 to 60,000. */
  readonly requestTimeoutMs?: number;
  /** How long before its end a token is renewed, in milliseconds. Default 60,000. */
  readonly tokenRefreshBeforeMs?: number;
  /** What is handled is acknowledged after so long at the latest, in milliseconds. Default 1,000, which is also the most. */
  readonly ackAfterMs?: number;
  /** Messages that may wait to be sent; above it `send` rejects with `queue_full`. Default 1,000. */
  readonly maxQueuedMessages?: number;
  /** Bytes of their bodies. Default 1 MiB. */
  readonly maxQueuedBytes?: number;
  /** Keeps the send queue in the store too, so that a restart goes on with it. Default false. */
  readonly keepQueue?: boolean;
  /** Message ids that are known again, a stream. Default 1,024. */
  readonly maxShownIds?: number;
  /** Messages of rooms that are not kept and may wait for handlers, a room; more are dropped. Default 1,000. */
  readonly maxWaiting?: number;
  /** The largest body of a frame that is taken, inflated, in bytes. Default 16 MiB. */
  readonly maxFrameBytes?: number;
}

type Optional = 'nodes' | 'store' | 'start';

/** The options with their defaults. */
export type Settings = Required<Omit<ClientOptions, Optional | 'addresses' | 'backoff'>> &
  Pick<ClientOptions, Optional> & { readonly addresses: readonly string[]; readonly backoff: Backoff };

export function settingsOf(options: ClientOptions): Settings {
  const { addresses = [] } = options;
  return {
    transports: ['websocket', 'sse', 'poll'],
    fallbackAfter: 2,
    upgradeAfterMs: 60_000,
    deflate: 'DecompressionStream' in globalThis,
    checksum: false,
    handshakeTimeoutMs: 10_000,
    heartbeatMs: 60_000,
    heartbeatTimeoutMs: 10_000,
    requestTimeoutMs: 30_000,
    tokenRefreshBeforeMs: 60_000,
    ackAfterMs: 1_000,
    maxQueuedMessages: 1_000,
    maxQueuedBytes: 1_048_576,
    keepQueue: false,
    maxShownIds: 1_024,
    maxWaiting: 1_000,
    maxFrameBytes: 16_777_216,
    ...options,
    addresses: typeof addresses === 'string' ? [addresses] : addresses,
    backoff: { baseMs: 1_000, maxMs: 60_000, factor: 1.8, ...options.backoff },
  };
}
