/** Words of the JSON API and the names that gRPC's enums have for the same. */
export const CLASSES = {
  durable: 'DELIVERY_CLASS_DURABLE',
  ephemeral: 'DELIVERY_CLASS_EPHEMERAL',
} as const;

export const PRIORITIES = { normal: 'PRIORITY_NORMAL', bulk: 'PRIORITY_BULK' } as const;

export const OUTCOMES = { ok: 'OUTCOME_OK', refused: 'OUTCOME_REFUSED', unknown: 'OUTCOME_UNKNOWN' } as const;

export const SCHEDULE_STATES = {
  waiting: 'SCHEDULE_STATE_WAITING',
  firing: 'SCHEDULE_STATE_FIRING',
  fired: 'SCHEDULE_STATE_FIRED',
  cancelled: 'SCHEDULE_STATE_CANCELLED',
  failed: 'SCHEDULE_STATE_FAILED',
} as const;

export const SCHEDULE_KINDS = {
  push: 'SCHEDULE_KIND_PUSH',
  digest: 'SCHEDULE_KIND_DIGEST',
  member: 'SCHEDULE_KIND_MEMBER',
} as const;

/** The words of a table, for a schema. */
export function wordsOf<Word extends string>(table: Readonly<Record<Word, string>>): Word[] {
  return Object.keys(table) as Word[];
}

/** The word for a name of gRPC; undefined where there is none, as for what is unspecified. */
export function wordFor<Word extends string>(
  table: Readonly<Record<Word, string>>,
  name: string | number | undefined,
): Word | undefined {
  return wordsOf(table).find((word) => table[word] === name);
}
