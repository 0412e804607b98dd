/** When a recurring push occurs. Times are Unix milliseconds. */
export interface RecurringRule {
  /** Five or six fields; see `cron.ts`. */
  readonly cron: string;
  /** An IANA name. */
  readonly timeZone: string;
  /** No occurrence after this; 0 is for ever. */
  readonly endAtMs: number;
}

/** A recurring push as it is put. */
export interface NewRecurring extends RecurringRule {
  readonly caller: string;
  /** Of the caller's. */
  readonly name: string;
  /** An occurrence is of no use so long after its time; 0 is always of use. */
  readonly expireAfterMs: number;
  /** A `halley.delivery.v1.Scheduled` without ids: each occurrence has it, and an id of its own. */
  readonly content: Uint8Array;
  readonly body: Uint8Array;
  /** Of content and body: what {@link NewSchedule.digest} is. */
  readonly digest: string;
  /** The first occurrence; undefined when there is none. */
  readonly nextAtMs: number | undefined;
}

export interface Recurring extends NewRecurring {
  /** Another with each put and each occurrence. */
  readonly revision: number;
  /** The last occurrence; undefined when there was none since it was put. */
  readonly lastAtMs: number | undefined;
  /** Occurrences that were left out, since it was put. */
  readonly missed: number;
}

/** A step of a recurring push from one occurrence to the next. */
export interface Advance {
  readonly caller: string;
  readonly name: string;
  /** As it was read: otherwise nothing is done. */
  readonly revision: number;
  /** The occurrence to schedule, and when it expires (0 is never); its id is {@link occurrenceId}. */
  readonly dueAtMs: number;
  readonly expireAtMs: number;
  /** Undefined: it was the last. */
  readonly nextAtMs: number | undefined;
  /** How many were left out. */
  readonly missed: number;
}

/** The recurring pushes of a {@link Schedules}. */
export interface RecurringStore {
  /** Makes it, or takes the place of the one by this name. */
  putRecurring(recurring: NewRecurring): Promise<void>;
  getRecurring(caller: string, name: string): Promise<Recurring | undefined>;
  /** Whether there was one. What it has scheduled already stays. */
  deleteRecurring(caller: string, name: string): Promise<boolean>;
  /** By name, those behind `after`; without their bodies. */
  listRecurring(
    caller: string,
    after: string | undefined,
    limit: number,
  ): Promise<{ readonly rows: readonly Recurring[]; readonly more: boolean }>;
  /** Those of which an occurrence is due, the longest due first; without their bodies. */
  dueRecurring(limit: number): Promise<{ readonly nowMs: number; readonly due: readonly Recurring[] }>;
  /**
   * Schedules an occurrence and moves on, in one transaction. False when another did so first, or it was put anew or
   * deleted. An occurrence whose id is taken is left out: 'taken'.
   */
  advance(advance: Advance): Promise<boolean | 'taken'>;
}

/** The id of an occurrence. */
export function occurrenceId(name: string, dueAtMs: number): string {
  return `${name}@${dueAtMs}`;
}
