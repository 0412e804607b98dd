import type { LeasedSchedule, NewMember, NewPush, Schedules } from './schedules.js';

export interface SchedulesHarness {
  readonly schedules: Schedules;
  /** Moves the store's clock. */
  advance(ms: number): void;
  /** The same store for another node; absent where there is only one. */
  readonly other?: Schedules;
  close(): Promise<void>;
}

let callers = 0;

/** A caller of one test. */
export function freshCaller(): string {
  callers += 1;
  return `caller ${process.pid} ${callers}`;
}

/** A push; whatever is not said has some value. */
export function push(caller: string, id: string, fields: Partial<NewPush> = {}): NewPush {
  return {
    kind: 'push',
    caller,
    id,
    digest: `digest of ${id}`,
    acceptedAtMs: 1_000,
    expireAtMs: 0,
    dueAtMs: 1_000,
    content: Buffer.from(`content of ${id}`),
    body: Buffer.from(`body of ${id}`),
    ...fields,
  };
}

/** A member of group `g`, whose digest is called `d-{id}` where it opens one. */
export function member(caller: string, id: string, fields: Partial<NewMember> = {}): NewMember {
  return {
    kind: 'member',
    caller,
    id,
    digest: `digest of ${id}`,
    acceptedAtMs: 1_000,
    expireAtMs: 0,
    group: 'g',
    item: Buffer.from(`"${id}"`),
    windowMs: 10_000,
    maxCount: 100,
    maxBytes: 10_000,
    opens: { id: `d-${id}`, content: Buffer.from('template') },
    ...fields,
  };
}

export const LIMITS = { maxRows: 100, maxBytes: 1_000_000, leaseMs: 2_000 };

/** Leases what is due and says which, for one caller. */
export async function leasedIds(schedules: Schedules, owner: string, caller: string): Promise<string[]> {
  const { rows } = await schedules.lease(owner, LIMITS);
  return rows.filter((row) => row.caller === caller).map(({ id }) => id);
}

/** Leases and finishes until nothing is due any more; answers what was leased. */
export async function fireAll(
  schedules: Schedules,
  owner = 'any',
  limits = LIMITS,
): Promise<LeasedSchedule[]> {
  const fired: LeasedSchedule[] = [];
  for (;;) {
    const { rows } = await schedules.lease(owner, limits);
    if (rows.length === 0) return fired;
    fired.push(...rows);
    await schedules.finish(
      owner,
      rows.map(({ seq }) => ({ seq, state: 'fired' })),
    );
  }
}

export function textOf(bytes: Uint8Array): string {
  return Buffer.from(bytes).toString('utf8');
}
