import type { TransportName } from '@halley/client/transport/transport';

import type { DeviceLog } from '../check/log.js';
import type { Habit } from './habit.js';

/** A client of the check: it keeps itself connected and records what it is shown. goim's and the SDK's stand behind this. */
export interface Device {
  readonly log: DeviceLog;
  /** Whether it is in session now. */
  readonly isConnected: boolean;
  /** Where it stands, in words, where it knows more than that. */
  readonly status?: string;
  /** Connects, and again whenever the connection ends, until `stop`. */
  start(): void;
  /** Ends the connection as a broken network does; it comes back by itself. */
  drop(): void;
  /** Ends the connection and stays away until `comeBack`. */
  leave(): void;
  comeBack(): void;
  /** Reads nothing any more, on this connection and the next, until `thaw`. */
  freeze(): void;
  thaw(): void;
  /** Ends for good. */
  stop(): void;
}

/** goim's protocol (ver 1), or the SDK (ver 2). */
export const CLIENT_KINDS = ['goim', 'sdk'] as const;

export type ClientKind = (typeof CLIENT_KINDS)[number];

/** What a device is made of. */
export interface DeviceSpec {
  /** As `user-3/tcp`. */
  readonly name: string;
  /** A goim client has `tcp` or `websocket`. */
  readonly transport: TransportName;
  /** Whether it goes over to other transports in the middle of traffic, beginning with its own. */
  readonly moves: boolean;
  readonly mid: bigint;
  readonly key: string;
  /** `{type}://{room}` */
  readonly room: string;
  /** Names of the streams that it gets. */
  readonly streams: readonly string[];
  readonly habit: Habit;
  readonly client: ClientKind;
}
