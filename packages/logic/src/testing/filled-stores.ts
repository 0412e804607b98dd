import type { ConnectionKey } from '@halley/protocol/ids';
import { shardOf } from '@halley/store/shard';
import { BEFORE_ALL, type Position, type Sender } from '@halley/store/streams/streams';

import { embeddedStores, type EmbeddedStores } from './embedded-stores.js';

export const EPOCH = 'epoch';
export const SHARDS = 24;

/** What pushes have in common. */
export interface FilledWith {
  readonly keys?: readonly ConnectionKey[];
  readonly body?: Uint8Array;
  readonly expireAtMs?: number;
  /** When the entry at a position was accepted. Default 1,000 ms + the position. */
  readonly acceptedAtMs?: (position: Position) => number;
  readonly caller?: string;
  readonly sender?: Sender;
  readonly collapseKey?: string;
  readonly retentionMs?: number;
}

/** For tests: streams and archive, and what job does with them. */
export interface FilledStores extends EmbeddedStores {
  /** Appends entries of one stream at these positions; the shard then is at `through`. */
  append(
    stream: string,
    positions: readonly Position[],
    through: Position,
    fields?: FilledWith,
  ): Promise<void>;
  /** Archives a shard up to here, and trims it. */
  archiveTo(shard: number, through: Position): Promise<void>;
  /** Archives a shard up to here, not trimmed yet. */
  storeTo(shard: number, through: Position): Promise<void>;
  /** Lets retention keep this many entries of each stream. */
  keep(maxEntries: number): Promise<void>;
}

/** Starts them, in {@link EPOCH} and with {@link SHARDS}. */
export async function filledStores(): Promise<FilledStores> {
  return filling(await embeddedStores({ partitions: () => SHARDS }), EPOCH);
}

/** What job does, with stores of so many shards that are there. */
export function filling(stores: EmbeddedStores, epoch: string): FilledStores {
  const { streams, archive } = stores;
  const storeTo = async (shard: number, through: Position): Promise<void> => {
    const from = await archive.watermark(shard, epoch);
    if (through <= from) return;
    const held = await streams.scan(shard, epoch, from, 100_000);
    const entries = held?.entries.filter(({ entry }) => entry.position <= through) ?? [];
    const [stored] = await archive.store(epoch, [{ shard, from, through, entries }]);
    if (!stored) throw new Error('not archived');
  };
  return {
    ...stores,
    append: async (
      stream,
      positions,
      through,
      {
        keys = [],
        body = Buffer.from('x'),
        expireAtMs = 0,
        caller = '',
        sender,
        collapseKey,
        retentionMs,
        acceptedAtMs = (position: Position) => 1_000 + position,
      } = {},
    ) => {
      const shard = shardOf(stream, SHARDS);
      const { applied } = await streams.restore(shard, epoch, BEFORE_ALL);
      const pushes = positions.map((position) => ({
        position,
        id: `id-${position}`,
        operation: 1000,
        body,
        acceptedAtMs: acceptedAtMs(position),
        expireAtMs,
        traceparent: '',
        caller,
        ...(sender && { sender }),
        ...(collapseKey !== undefined && { collapseKey }),
        ...(retentionMs !== undefined && { retentionMs }),
        digest: String(position),
        targets: [{ stream, keys }],
      }));
      const batch = { shard, epoch, before: applied, through, pushes };
      const { outcome } = await streams.append(batch);
      if (outcome !== 'appended') throw new Error(outcome);
    },
    storeTo,
    archiveTo: async (shard, through) => {
      await storeTo(shard, through);
      await streams.trim(shard, epoch, through);
    },
    keep: async (maxEntries) => {
      const kept = { sinceMs: 0, maxEntries };
      await archive.retain({ resume: kept, history: kept });
    },
  };
}
