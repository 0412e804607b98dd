import type { UserId } from '@halley/protocol/ids';
import type { Clock } from '@halley/service/clock';
import type { Ledger } from '@halley/store/ledger/ledger';
import type { Reads } from '@halley/store/reads/reads';
import type { Schedule, Schedules } from '@halley/store/schedule/schedules';

import type { DeviceFinder, FoundDevices } from './devices.js';
import type { Ended } from './ended.js';
import type { EntryFinder, FoundEntries } from './entries.js';
import { withExceptions } from './overlay.js';
import {
  type DeviceState,
  noCounts,
  type Trace,
  type TracedDevice,
  type TracedEntry,
  type TracedStream,
} from './trace.js';
import { stateOf } from './verdict.js';
import type { WaitingPushes } from './waiting.js';

export interface TracerDeps {
  readonly entries: Pick<EntryFinder, 'find'>;
  readonly devices: Pick<DeviceFinder, 'find'>;
  readonly ended: (
    entries: FoundEntries['entries'],
    nowMs: number,
  ) => Promise<ReadonlyMap<TracedEntry, Ended>>;
  readonly ledger: Pick<Ledger, 'find' | 'lostSince'>;
  readonly reads: Pick<Reads, 'get'>;
  /** Absent where pushes cannot be scheduled. */
  readonly schedules?: Pick<Schedules, 'get'> | undefined;
  readonly waiting: Pick<WaitingPushes, 'note'>;
  readonly clock: Clock;
}

export interface TraceAsk {
  readonly id: string;
  readonly caller: string;
  /** Devices of the page. */
  readonly limit: number;
  /** `next` of the page before; empty is from the first. Throws `invalid_argument` where it is none. */
  readonly after: string;
}

/** Streams that are told of one by one. */
const MAX_TOLD_STREAMS = 100;
/** Streams of users of which it is asked whether they are read. */
const MAX_READ_STREAMS = 20;
/** Things that went wrong that are looked at, and told. */
const MAX_ROWS = 1_000;
const MAX_TOLD_ROWS = 100;
const ENDED: Readonly<Record<Ended, string>> = {
  expired: 'Its time has passed: who does not have it is not shown it any more.',
  retention: 'It was kept for as long as its retention says: who does not have it is not shown it any more.',
  collapsed: 'A newer push with its collapse key took its place: who does not have it is shown that one.',
};
const DAY_MS = 24 * 3_600_000;

/** Says what became of a push, from its entries, the devices' positions, its schedule, and what the ledger keeps. */
export class Tracer {
  constructor(private readonly deps: TracerDeps) {}

  /** Throws `store_unavailable` where nothing could be told for it. */
  async trace({ id, caller, limit, after }: TraceAsk): Promise<Trace> {
    const { clock, ledger } = this.deps;
    const nowMs = clock.now();
    const [found, schedule, kept] = await Promise.all([
      this.deps.entries.find(caller, id),
      this.deps.schedules?.get(caller, id).catch(away),
      ledger.find(caller, id, MAX_ROWS).catch(away),
    ]);
    const { entries } = found;
    const rows = kept === 'away' ? [] : (kept?.rows ?? []);
    const acceptedAtMs = acceptedAt(entries, schedule === 'away' ? undefined : schedule);
    const [read, lost, followed, ended] = await Promise.all([
      this.#read(entries.slice(0, MAX_READ_STREAMS)),
      ledger.lostSince(acceptedAtMs ?? nowMs - DAY_MS).catch(() => 0),
      this.deps.devices.find(entries),
      this.deps.ended(entries, nowMs),
    ]);
    // A row that came meanwhile may say what a position does not.
    const later = entries.length > 0 ? await ledger.find(caller, id, MAX_ROWS).catch(away) : kept;
    const told = later === 'away' ? rows : later.rows;
    const judged = withExceptions(followed, entries, told, ended);
    const counts = countsOf(judged);
    const page = pageOf(judged.devices, limit, after);
    const [first] = entries;
    const planned = schedule === 'away' ? undefined : schedule;
    const state = stateOf({
      entries,
      known: found.known,
      counts,
      schedule: planned,
      rows: told,
      ended: new Set(ended.values()),
    });
    // Asked last: what is taken in meanwhile is rather not told than told as waiting.
    const waits = state === 'unknown' || state === 'fired' ? await this.deps.waiting.note() : undefined;
    return {
      id,
      caller,
      state,
      acceptedAtMs,
      expireAtMs: first?.expireAtMs ?? planned?.expireAtMs ?? 0,
      durable: first ? true : undefined,
      operation: first?.operation ?? 0,
      bodyBytes: first?.bodyBytes ?? planned?.bodyBytes ?? 0,
      sender: first?.sender,
      schedule: planned,
      streams: entries.length,
      appended: entries
        .slice(0, MAX_TOLD_STREAMS)
        .map((entry): TracedStream => ({ ...entry, read: read.get(entry.stream) })),
      counts,
      devices: page.devices,
      next: page.next,
      exceptions: told.slice(0, MAX_TOLD_ROWS),
      moreExceptions: Math.max(0, (later === 'away' ? 0 : later.all) - MAX_TOLD_ROWS),
      lostReports: lost,
      notes: [
        ...notesOf(found, ended),
        ...followed.notes,
        ...(waits === undefined ? [] : [waits]),
        ...(schedule === 'away' ? ['Scheduled pushes could not be looked at: their store is away.'] : []),
        ...(later === 'away' ? ['What went wrong could not be looked at: the ledger is away.'] : []),
      ],
    };
  }

  /** Whether users have read the entry of their stream; absent where nobody knows. */
  async #read(entries: FoundEntries['entries']): Promise<ReadonlyMap<string, boolean>> {
    const read = new Map<string, boolean>();
    const ofUsers = entries.filter(({ stream }) => stream.startsWith('u/'));
    await Promise.all(
      ofUsers.map(async ({ stream, epoch, position }) => {
        const marks = await this.deps.reads.get(stream.slice(2) as UserId, [stream]).catch(() => undefined);
        const mark = marks?.get(stream);
        if (mark) read.set(stream, mark.epoch === epoch && mark.position >= position);
      }),
    );
    return read;
  }
}

function away(): 'away' {
  return 'away';
}

function acceptedAt(entries: FoundEntries['entries'], schedule: Schedule | undefined): number | undefined {
  if (schedule) return schedule.acceptedAtMs;
  return entries.length > 0 ? Math.min(...entries.map(({ acceptedAtMs }) => acceptedAtMs)) : undefined;
}

function countsOf({
  devices,
  others,
}: Pick<FoundDevices, 'devices' | 'others'>): Record<DeviceState, number> {
  const counts = noCounts();
  for (const { state } of devices) counts[state] += 1;
  for (const more of others.values())
    for (const [state, count] of Object.entries(more)) counts[state as DeviceState] += count;
  return counts;
}

function pageOf(
  devices: readonly TracedDevice[],
  limit: number,
  after: string,
): { readonly devices: readonly TracedDevice[]; readonly next: string } {
  const from = after === '' ? 0 : devices.findIndex((device) => nameOf(device) > after);
  const page = from < 0 ? [] : devices.slice(from, from + limit);
  const last = page.at(-1);
  const more = last !== undefined && from + page.length < devices.length;
  return { devices: page, next: more ? nameOf(last) : '' };
}

/** Sorts as the devices do. */
function nameOf({ stream, key }: TracedDevice): string {
  return `${stream}\n${key}`;
}

function notesOf(
  { entries, known, more, archiveAway }: FoundEntries,
  ended: ReadonlyMap<TracedEntry, Ended>,
): string[] {
  const notes: string[] = [];
  for (const why of new Set(ended.values())) notes.push(ENDED[why]);
  if (more) notes.push('It stands in more streams than are looked at: the counts are of the first 10,000.');
  if (archiveAway) notes.push('The archive is away: what is only there is missing.');
  if (known && entries.length === 0 && !archiveAway)
    notes.push('It was taken in within the last day, and its messages are not kept any more.');
  return notes;
}
