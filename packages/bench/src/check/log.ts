import type { TransportName } from '@halley/client/transport/transport';

import type { Habit } from '../device/habit.js';

/** What a check knows when it has ended; the judge reads nothing else. Times are milliseconds since the check began. */
export interface CheckLog {
  readonly streams: readonly CheckedStream[];
  readonly pushes: readonly NumberedPush[];
  readonly devices: readonly DeviceLog[];
  readonly faults: readonly FaultSpan[];
}

/** A user's inbox, a room, or everyone: what numbered pushes go to, each with numbers of its own from 0. */
export interface CheckedStream {
  readonly name: string;
  readonly kind: 'user' | 'room' | 'everyone';
}

export type Outcome = 'ok' | 'refused' | 'unknown';

export interface NumberedPush {
  readonly stream: string;
  readonly number: number;
  /**
   * The last word on it. `unknown` that was repeated with its id and answered OK is OK; what was unknown once and then refused
   * stays unknown.
   */
  readonly outcome: Outcome;
  /** Calls that may have been taken: more than one when it was repeated. */
  readonly attempts: number;
  readonly pushedAtMs: number;
  /** When the last answer came. */
  readonly answeredAtMs: number;
  /** The logic that answered last, as `grpc 127.0.0.1:3119`. */
  readonly via: string;
  /** Why it was not OK. */
  readonly why?: string;
  /** Absent when it is to be delivered at once, as usual. */
  readonly terms?: Terms;
}

/** What a push asked for. */
export interface Terms {
  /** Not to be shown before. Rounded down, as the clock of the cluster has whole milliseconds. */
  readonly dueAtMs?: number;
  /** Not to be shown after. */
  readonly expireAtMs?: number;
  /** Whoever was not shown it may be shown a newer one of the same stream and key instead. */
  readonly collapseKey?: string;
  /** Has an order among its like alone. */
  readonly bulk?: true;
  /** The last word on taking it back, where that was tried. */
  readonly cancel?: CancelAnswer;
}

/** `too_late`: it is delivered as if nobody had asked. */
export type CancelAnswer = 'cancelled' | 'too_late' | 'unknown';

/** One device of a user, over all its connections. */
export interface DeviceLog {
  /** As `user-3/tcp`. */
  readonly name: string;
  /** What is promised to it: an SDK client is shown everything once; a goim client may be shown something again when it reconnects. */
  readonly kind: 'goim' | 'sdk';
  readonly habit: Habit;
  /** The streams that it gets. */
  readonly streams: readonly string[];
  /** In order. */
  readonly connections: readonly ConnectionSpan[];
  /** In order. */
  readonly shown: readonly Shown[];
  /** Bodies that are no push of this check. */
  readonly strange: readonly Strange[];
  /** Gaps that the server declared: pushes up to `until` that it says it no longer has. */
  readonly gaps: readonly DeclaredGap[];
  /** When it was away or did not read, by its own doing; in order, and those that are over. */
  readonly absences: readonly Absence[];
}

export interface Absence {
  readonly fromMs: number;
  readonly untilMs: number;
  /** It was connected and did not read, or read again and again: what it was sent waited in its socket. */
  readonly frozen?: boolean;
}

/** A session, from the answer to its auth to its end; the last one may be open. */
export interface ConnectionSpan {
  readonly openedAtMs: number;
  readonly closedAtMs?: number;
  /** The comet. */
  readonly to: string;
  /** The transport. */
  readonly by?: TransportName;
  readonly why?: string;
}

export interface Shown {
  readonly atMs: number;
  /** Index in {@link DeviceLog.connections}. */
  readonly connection: number;
  readonly stream: string;
  readonly number: number;
}

export interface Strange {
  readonly atMs: number;
  readonly text: string;
}

export interface DeclaredGap {
  readonly atMs: number;
  readonly stream: string;
}

export interface FaultSpan {
  /** As `kill-comet comet-1`. */
  readonly name: string;
  readonly injectedAtMs: number;
  /** When it was undone; absent when it never was. */
  readonly healedAtMs?: number;
  /** The message ids that the cluster remembers are gone with it, so a push that was repeated may come twice. */
  readonly forgetsIds?: boolean;
  /** Why it could not be injected or undone. */
  readonly trouble?: string;
}
