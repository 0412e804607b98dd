import type { Position } from '@halley/store/streams/streams';

import { DAY_HOURS, sameDay, type Push } from './bus.js';
import { forget, note, type Collapses } from './collapse.js';
import type { Faults } from './faults.js';

/** An entry as Redis keeps it in its stream. */
export interface Entry {
  readonly position: Position;
  readonly prev: Position;
  readonly push: Push;
}

export interface StreamEntry extends Entry {
  readonly stream: number;
}

interface StreamState {
  entries: Entry[];
  newest: Position;
}

/** Where a device is connected, and by which session. */
export interface Route {
  readonly comet: number;
  readonly incarnation: number;
  readonly owner: number;
}

/** What was polled of one partition, in order. */
export interface Batch {
  readonly before: Position;
  readonly through: Position;
  readonly pushes: readonly {
    readonly position: Position;
    readonly push: Push;
    readonly streams: readonly number[];
  }[];
}

export type AppendAnswer =
  | { readonly outcome: 'empty' }
  | { readonly outcome: 'behind'; readonly applied: Position }
  | {
      readonly outcome: 'appended';
      readonly entries: readonly StreamEntry[];
      readonly known: readonly { readonly stream: number; readonly newest: Position }[];
    };

export interface Held {
  readonly trimmed: Position;
  readonly applied: Position;
  readonly entries: readonly Entry[];
  readonly more: boolean;
}

/** All of a shard's keys. Each function below is one script: it runs as a whole or not at all. */
export interface ShardState {
  /** Undefined: the shard is empty. */
  applied: Position | undefined;
  trimmed: Position;
  /** Where it was restored; undefined as long as it never was. */
  restored: Position | undefined;
  readonly streams: Map<number, StreamState>;
  /** Of the entries above T. */
  readonly collapses: Collapses;
  /** Message id → accept time. */
  readonly ids: Map<number, number>;
  /** By device. */
  readonly routes: Map<number, Route>;
  readonly cursors: Map<number, { readonly owner: number; readonly position: Position }>;
}

export function emptyShard(): ShardState {
  return {
    applied: undefined,
    trimmed: -1,
    restored: undefined,
    streams: new Map(),
    collapses: new Map(),
    ids: new Map(),
    routes: new Map(),
    cursors: new Map(),
  };
}

/** Newest position of a stream: of its last entry, else where the shard was restored, as older ones are unknown. */
export function newest(shard: ShardState, stream: number, faults: Faults): Position | undefined {
  const known = shard.streams.get(stream)?.newest;
  return known ?? (faults.forgetRestored ? undefined : shard.restored);
}

export function append(shard: ShardState, batch: Batch, nowHours: number, faults: Faults): AppendAnswer {
  const before = shard.applied;
  if (before === undefined) return { outcome: 'empty' };
  if (before < batch.before && !faults.skipRewind) return { outcome: 'behind', applied: before };
  const entries: StreamEntry[] = [];
  const known = new Set<number>();
  for (const { position, push, streams } of batch.pushes) {
    if (position <= before) {
      for (const stream of streams) known.add(stream);
      continue;
    }
    const acceptedAt = shard.ids.get(push.id);
    const forgotten =
      faults.forgetIdsByClock && acceptedAt !== undefined && nowHours - acceptedAt >= DAY_HOURS;
    if (
      acceptedAt !== undefined &&
      !forgotten &&
      !faults.skipIds &&
      sameDay(acceptedAt, push.acceptedAtHours)
    ) {
      if (faults.collapseByRepeats)
        for (const stream of streams) note(shard.collapses, stream, { position, push }, faults);
      continue;
    }
    shard.ids.set(push.id, push.acceptedAtHours);
    for (const stream of streams) {
      let state = shard.streams.get(stream);
      if (!state) {
        state = { entries: [], newest: shard.trimmed };
        shard.streams.set(stream, state);
      }
      const entry = { position, prev: state.newest, push, stream };
      state.entries.push(entry);
      state.newest = position;
      note(shard.collapses, stream, entry, faults);
      entries.push(entry);
    }
  }
  shard.applied = Math.max(before, batch.through);
  return {
    outcome: 'appended',
    entries,
    known: [...known].flatMap((stream) => {
      const position = newest(shard, stream, faults);
      return position === undefined ? [] : [{ stream, newest: position }];
    }),
  };
}

/** Sets applied = trimmed where nothing is known of the shard. */
export function restore(shard: ShardState, position: Position): void {
  if (shard.applied !== undefined) return;
  shard.applied = position;
  shard.trimmed = position;
  shard.restored = position;
}

export function trim(shard: ShardState, through: Position): void {
  if (shard.applied === undefined) return;
  const trimmed = Math.min(through, shard.applied);
  if (trimmed <= shard.trimmed) return;
  shard.trimmed = trimmed;
  forget(shard.collapses, trimmed);
  for (const state of shard.streams.values()) {
    state.entries = state.entries.filter(({ position }) => position > trimmed);
  }
}

/** A page of a stream with T and `applied`; undefined when the shard is empty. */
export function read(shard: ShardState, stream: number, after: Position, limit: number): Held | undefined {
  const { applied, trimmed } = shard;
  if (applied === undefined) return undefined;
  const above = (shard.streams.get(stream)?.entries ?? []).filter(
    ({ position }) => position > Math.max(after, trimmed),
  );
  return { trimmed, applied, entries: above.slice(0, limit), more: above.length > limit };
}

/** The newest positions of places of the index, with T; undefined when the shard is empty. */
export function collapsed(
  { applied, trimmed, collapses }: ShardState,
  places: readonly string[],
): { readonly trimmed: Position; readonly newest: Collapses } | undefined {
  if (applied === undefined) return undefined;
  return { trimmed, newest: new Map([...collapses].filter(([place]) => places.includes(place))) };
}

/** Entries of all streams above `after`, at most `limit` positions, for the archive. */
export function scan(
  shard: ShardState,
  after: Position,
  limit: number,
): { readonly through: Position; readonly entries: readonly StreamEntry[] } | undefined {
  if (shard.applied === undefined) return undefined;
  const entries: StreamEntry[] = [];
  for (const [stream, state] of shard.streams) {
    for (const entry of state.entries) if (entry.position > after) entries.push({ ...entry, stream });
  }
  entries.sort((a, b) => a.position - b.position);
  const positions = [...new Set(entries.map(({ position }) => position))];
  const last = positions.length > limit ? positions[limit - 1]! : shard.applied;
  return { through: last, entries: entries.filter(({ position }) => position <= last) };
}

/** Writes a device's route; answers false, and changes nothing, when a later session has it. */
export function claim(shard: ShardState, device: number, route: Route, faults: Faults): boolean {
  const owner = shard.routes.get(device)?.owner;
  if (owner !== undefined && owner > route.owner && !faults.skipOwner) return false;
  shard.routes.set(device, route);
  return true;
}

export function release(shard: ShardState, device: number, owner: number): void {
  if (shard.routes.get(device)?.owner === owner) shard.routes.delete(device);
}

/** Moves a cursor forward; an older owner changes nothing. */
export function saveCursor(
  shard: ShardState,
  device: number,
  owner: number,
  position: Position,
  faults: Faults,
): void {
  const route = shard.routes.get(device)?.owner ?? 0;
  const cursor = shard.cursors.get(device);
  if (!faults.skipOwner && (owner < route || owner < (cursor?.owner ?? 0))) return;
  shard.cursors.set(device, { owner, position: Math.max(position, cursor?.position ?? -1) });
}
