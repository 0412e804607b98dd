import { createHash } from 'node:crypto';

import type { EventKind } from './config.js';

/** An event on its way into halley-events. */
export interface QueuedEvent {
  readonly kind: EventKind;
  /** The record's key: the user, or the key of an anonymous connection. */
  readonly key: string;
  /** Whose events keep their order; it decides the partition, as for pushes. */
  readonly stream: string;
  /** The value, asked for when it is written, and again when that is repeated. */
  readonly encode: () => Uint8Array;
  /** With this it is never lost: called once it is durable. */
  readonly done?: () => void;
}

/** Where events are handed over; never throws, and keeps nobody waiting. */
export interface Events {
  /** Whether events of this kind are wanted: what is not need not be made. */
  wants(kind: EventKind): boolean;
  offer(event: QueuedEvent): void;
}

/** The id of an event, the same for the same facts: 22 characters behind the kind, none of them a dot. */
export function eventIdOf(kind: EventKind, ...facts: readonly (string | number)[]): string {
  return `${kind}-${shortHash([kind, ...facts])}`;
}

/** The name under which the business knows a connection: the owner of its route, which tells nothing by itself. */
export function connectionIdOf(key: string, owner: string): string {
  return shortHash([key, owner]);
}

function shortHash(facts: readonly (string | number)[]): string {
  return createHash('sha256').update(JSON.stringify(facts)).digest('base64url').slice(0, 22);
}
