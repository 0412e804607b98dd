import type { Readers } from './readers.js';
import type { TermCounts } from './terms.js';

/** What is promised never to happen. */
export const VIOLATIONS = [
  'lost',
  'shown twice',
  'out of order',
  'phantom',
  'wrong user',
  'untimely',
] as const;

export type ViolationKind = (typeof VIOLATIONS)[number];

/** One thing that should not have happened, at one device. */
export interface Violation {
  readonly kind: ViolationKind;
  readonly device: string;
  /** What kind of client it is and what it does, as `goim, stays`. */
  readonly who: string;
  /** Empty for a body that is no push of this check. */
  readonly stream: string;
  readonly number: number;
  /** What happened, in words. */
  readonly what: string;
  /** Absent when it was never pushed. */
  readonly pushedAtMs?: number;
  /** The logic that took it. */
  readonly via?: string;
  /** Absent when it was not shown. */
  readonly shownAtMs?: number;
  /** The faults that were active about then. */
  readonly faults: readonly string[];
}

/** A time in which a device was shown nothing although something that was answered OK was waiting for it. */
export interface Silence {
  readonly device: string;
  readonly fromMs: number;
  readonly untilMs: number;
}

/** Counts of what may happen. Deliveries, repeats and drops count each device. */
export interface Counts {
  readonly ok: number;
  readonly refused: number;
  /** Never answered with certainty: shown or not, at most once. */
  readonly unknown: number;
  readonly deliveries: number;
  /** Shown again, where that is allowed: after a reconnect of a goim client, or where an unknown push was repeated. */
  readonly repeats: number;
  readonly declaredGaps: number;
  /** Ephemeral pushes (rooms, everyone) that a device was not shown. */
  readonly dropped: number;
  /** Of them, those to devices that were connected all the while. */
  readonly droppedWhileConnected: number;
  readonly longestSilenceMs: number;
}

export interface Verdict {
  /** All of {@link VIOLATIONS} are zero. */
  readonly clean: boolean;
  readonly violations: Readonly<Record<ViolationKind, number>>;
  /** The first few of each kind. */
  readonly examples: readonly Violation[];
  readonly counts: Counts;
  readonly terms: TermCounts;
  /** The longest ones, the longest first. */
  readonly silences: readonly Silence[];
  readonly readers: readonly Readers[];
}
