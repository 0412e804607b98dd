import type { ConnectionKey } from '@halley/protocol/ids';

import { shardOf } from '../shard.js';
import {
  BEFORE_ALL,
  MAX_CURSORS,
  type AppendAnswer,
  type AppendBatch,
  type Appended,
  type Cursor,
  type CursorWrite,
  type HeldPage,
  type Position,
  type ReadQuery,
  type Repeated,
  type ShardEntry,
  type ShardState,
} from './streams.js';

interface ModelShard {
  epoch: string;
  applied: Position;
  trimmed: Position;
  restored: Position;
  /** Everything ever appended in this life, in order. */
  appended: ShardEntry[];
}

/** The port as plainly as can be said, in memory and without time. */
export class StreamsModel {
  readonly #shards = new Map<number, ModelShard>();
  readonly #ids = new Map<string, { position: Position; digest: string }>();
  readonly #cursors = new Map<string, CursorWrite[]>();

  constructor(private readonly shards: number) {}

  append({ shard, epoch, before, through, pushes }: AppendBatch): AppendAnswer {
    const state = this.#of(shard, epoch);
    if (!state) return { outcome: 'empty' };
    if (state.applied < before) return { outcome: 'behind', applied: state.applied };
    const entries: Appended[] = [];
    const repeated: Repeated[] = [];
    const known = new Map<string, Position>();
    for (const { targets, digest, ...push } of pushes) {
      const { position, id } = push;
      if (position <= state.applied) {
        for (const { stream } of targets) {
          const newest = this.#toldNewest(state, stream);
          if (newest !== undefined) known.set(stream, known.get(stream) ?? newest);
        }
        continue;
      }
      const name = JSON.stringify([shard, push.caller, id]);
      const first = this.#ids.get(name);
      if (first && first.position !== position) {
        repeated.push({ position, id, conflict: first.digest !== digest });
        continue;
      }
      this.#ids.set(name, { position, digest });
      for (const { stream, keys } of targets) {
        const prev = this.#newestOf(state, stream) ?? state.trimmed;
        state.appended.push({ stream, entry: { ...push, prev, keys } });
        entries.push({ stream, position, prev });
      }
    }
    state.applied = Math.max(state.applied, through);
    return {
      outcome: 'appended',
      applied: state.applied,
      entries,
      repeated,
      known: [...known].map(([stream, newest]) => ({ stream, newest })),
    };
  }

  restore(shard: number, epoch: string, position: Position): ShardState {
    const state = this.#of(shard, epoch);
    if (state) return { applied: state.applied, trimmed: state.trimmed };
    this.#shards.set(shard, {
      epoch,
      applied: position,
      trimmed: position,
      restored: position,
      appended: [],
    });
    return { applied: position, trimmed: position };
  }

  state(shard: number, epoch: string): ShardState | undefined {
    const state = this.#of(shard, epoch);
    return state && { applied: state.applied, trimmed: state.trimmed };
  }

  /** Without the limit of bytes. */
  read(epoch: string, { stream, after, maxEntries }: ReadQuery): HeldPage | undefined {
    const state = this.#of(shardOf(stream, this.shards), epoch);
    if (!state) return undefined;
    const held = this.#held(state, after).filter((row) => row.stream === stream);
    return {
      applied: state.applied,
      trimmed: state.trimmed,
      entries: held.slice(0, maxEntries).map(({ entry }) => entry),
      more: held.length > maxEntries,
    };
  }

  newest(streams: readonly string[]): Map<string, Position> {
    const newest = new Map<string, Position>();
    for (const stream of streams) {
      const state = this.#shards.get(shardOf(stream, this.shards));
      const position = state && this.#toldNewest(state, stream);
      if (position !== undefined) newest.set(stream, position);
    }
    return newest;
  }

  scan(shard: number, epoch: string, after: Position, maxEntries: number) {
    const state = this.#of(shard, epoch);
    if (!state) return undefined;
    const held = this.#held(state, after);
    const positions = [...new Set(held.map(({ entry }) => entry.position))];
    if (positions.length <= maxEntries) return { through: state.applied, entries: held };
    const through = positions[maxEntries - 1]!;
    return { through, entries: held.filter(({ entry }) => entry.position <= through) };
  }

  trim(shard: number, epoch: string, through: Position): void {
    const state = this.#of(shard, epoch);
    if (state) state.trimmed = Math.max(state.trimmed, Math.min(through, state.applied));
  }

  saveCursors(writes: readonly CursorWrite[]): void {
    for (const write of writes) {
      const cursors = this.#cursors.get(write.stream) ?? [];
      const old = cursors.find(({ key }) => key === write.key);
      if (old && write.owner < old.owner) continue;
      const position = old?.epoch === write.epoch ? Math.max(old.position, write.position) : write.position;
      const others = cursors.filter((cursor) => cursor !== old);
      this.#cursors.set(write.stream, [...others, { ...write, position }].slice(-MAX_CURSORS));
    }
  }

  cursors(stream: string): Map<ConnectionKey, Cursor> {
    const cursors = this.#cursors.get(stream) ?? [];
    return new Map(cursors.map(({ key, epoch, position }) => [key, { epoch, position }]));
  }

  #of(shard: number, epoch: string): ModelShard | undefined {
    const state = this.#shards.get(shard);
    return state?.epoch === epoch ? state : undefined;
  }

  #held({ appended, trimmed }: ModelShard, after: Position): ShardEntry[] {
    return appended.filter(({ entry }) => entry.position > Math.max(after, trimmed));
  }

  #toldNewest(state: ModelShard, stream: string): Position | undefined {
    return this.#newestOf(state, stream) ?? (state.restored === BEFORE_ALL ? undefined : state.restored);
  }

  #newestOf({ appended }: ModelShard, stream: string): Position | undefined {
    return appended.findLast((row) => row.stream === stream)?.entry.position;
  }
}
