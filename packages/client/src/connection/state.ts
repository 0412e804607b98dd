import type { ClientError } from '../client-error.js';

/** Where a client's connection stands. */
export type ConnectionState =
  /** `connect` was not called. */
  | { readonly name: 'idle' }
  /** On the way; `attempt` counts from 1 since the last connection that held. */
  | { readonly name: 'connecting'; readonly attempt: number }
  /** `version` 1: the server does not serve version 2, so messages come as pushes that are not kept. */
  | { readonly name: 'connected'; readonly address: string; readonly version: 1 | 2; readonly key: string }
  /** The next attempt is made at `untilMs`, Unix milliseconds. */
  | { readonly name: 'waiting'; readonly untilMs: number; readonly reason: ClientError }
  /** For good. Without a reason the application closed it. */
  | { readonly name: 'closed'; readonly reason?: ClientError };
