import type { Service } from '@halley/service/lifecycle';

/** Names a kept dead letter: a decimal number, larger the later it was kept. */
export type DeadLetterId = string;

/** Where a dead letter stands in halley-dead. */
export interface DeadLetterPlace {
  readonly partition: number;
  readonly offset: number;
}

/** A dead letter without what the record held. */
export interface DeadLetterHead {
  readonly id: DeadLetterId;
  /** When it was put aside, Unix milliseconds. */
  readonly atMs: number;
  /** Where the record stood. */
  readonly topic: string;
  readonly partition: number;
  readonly offset: number;
  /** Why: `undecodable`, `too_large`, … */
  readonly reason: string;
  /** More about it; empty when there is no more. */
  readonly detail: string;
  /** Bytes of the record's value. */
  readonly valueBytes: number;
  /** Whether not all of the value was kept: such a letter cannot be requeued. */
  readonly cut: boolean;
  /** When it was requeued last, Unix milliseconds; 0 is never. */
  readonly requeuedAtMs: number;
}

/** A dead letter with the record. */
export interface DeadLetter extends DeadLetterHead {
  /** The record's key and headers. */
  readonly key: string;
  readonly headers: Readonly<Record<string, string>>;
  /** What was kept of its value. */
  readonly value: Uint8Array;
}

/**
 * A dead letter as it is read from halley-dead. Of those that say the same topic, partition and offset one is kept: a job that
 * is killed may put a record aside twice. An empty topic is not known; such a letter is kept once for each place.
 */
export interface NewDeadLetter extends Omit<DeadLetter, 'id' | 'requeuedAtMs'> {
  readonly place: DeadLetterPlace;
}

export interface DeadLetterQuery {
  /** Only older ones: the last id of the page before. Absent is from the newest. */
  readonly before?: DeadLetterId;
  readonly topic?: string;
  readonly reason?: string;
  readonly maxLetters: number;
}

export interface DeadLetterPage {
  /** The newest first. */
  readonly letters: readonly DeadLetterHead[];
  /** Whether older ones remain. */
  readonly more: boolean;
}

/** What a claim of a letter finds. */
export type DeadLetterClaim =
  /** It is the caller's to requeue; `claim` undoes it. */
  | { readonly outcome: 'claimed'; readonly letter: DeadLetter }
  | { readonly outcome: 'requeued'; readonly atMs: number }
  | { readonly outcome: 'absent' };

/**
 * The dead letters, copied from halley-dead so that they can be listed and found one by one. Methods throw HalleyError
 * `store_unavailable` when the store cannot be reached in time.
 */
export interface DeadLetterStore extends Service {
  /** Keeps letters of halley-dead of this bus epoch; one that is there stays as it is. */
  add(epoch: string, letters: readonly NewDeadLetter[]): Promise<void>;
  list(query: DeadLetterQuery): Promise<DeadLetterPage>;
  /** Undefined when there is none of this id (any more). */
  get(id: DeadLetterId): Promise<DeadLetter | undefined>;
  /**
   * Marks a letter as requeued at `atMs`, and answers it. One that was requeued before is left as it is, unless `again`. Of
   * several who claim at once without `again`, one gets it.
   */
  claim(id: DeadLetterId, atMs: number, again: boolean): Promise<DeadLetterClaim>;
  /** Takes the claim of `atMs` back: the letter was not requeued. */
  unclaim(id: DeadLetterId, atMs: number): Promise<void>;
  /** Removes letters that were put aside before `sinceMs`, and the oldest above `maxLetters`; answers how many went. */
  retain(kept: { readonly sinceMs: number; readonly maxLetters: number }): Promise<number>;
}
