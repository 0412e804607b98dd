import type { ConnectionKey, NodeRef, UserId } from '@halley/protocol/ids';

/** A connection with version 2 that asks for something. Its comet has checked that it may. */
export interface Asker {
  /** The comet that holds it. */
  readonly at: NodeRef;
  /** `0` is anonymous. */
  readonly mid: UserId;
  readonly key: ConnectionKey;
  /** When the comet stops waiting (Clock.monotonicMs). */
  readonly deadlineMs: number;
  /** W3C trace context of what it asks. */
  readonly traceparent: string;
  /** Its token does not let it send what it sends: the business decides. */
  readonly notGranted?: boolean;
}

/** The user of connections without one: it has no inbox, and nothing is kept for it. */
export const ANONYMOUS = '0' as UserId;

/** Pushes of clients have this in place of an API key's name. */
export const CLIENT_CALLER = 'client';
