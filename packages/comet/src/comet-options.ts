import type { TlsOptions } from 'node:tls';

import type { OutboxLimits } from './delivery/outbox.js';
import type { RenewalOptions } from './renewal.js';
import type { SessionLimits } from './session/session-deps.js';
import type { ConnectionLimits } from './transport/limits.js';

/** The parts of the configuration that the connections need. */
export interface CometOptions {
  readonly host: string;
  /** Ports; 0 is any free one. `tls` and `wss` are served when a certificate is given. */
  readonly ports: {
    readonly tcp: number;
    readonly ws: number;
    readonly tls: number;
    readonly wss: number;
  };
  readonly tls?: TlsOptions;
  readonly keepAliveMs: number;
  readonly maxBodyBytes: number;
  readonly maxMessageBytes: number;
  readonly maxMessageParts: number;
  readonly session: SessionLimits;
  readonly outbox: OutboxLimits;
  readonly limits: ConnectionLimits;
  readonly trustedProxies: readonly string[];
  readonly allowsOrigin: (origin: string) => boolean;
  readonly leaveRoomAfterMs: number;
  readonly renewal: RenewalOptions;
  readonly presence: { readonly pollMs: number };
  /** Sessions over HTTP: how often SSE says something, how long a poll waits, and how long none may come. */
  readonly http: { readonly keepAliveMs: number; readonly pollWaitMs: number; readonly pollGraceMs: number };
}
